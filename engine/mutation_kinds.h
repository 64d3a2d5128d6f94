#pragma once

#include <concepts>

#include "engine/mutation.h"

/// For functions that have one overload for each kind of mutation: those for which there is nothing to do are
/// listed, so that a kind that is added later and forgotten does not compile.
namespace karma {

template <typename M, typename... Listed>
concept OneOf = (std::same_as<M, Listed> || ...);

/// Kinds that take no idempotency key and are no part of an ingest stream's contents.
template <typename M>
concept Unkeyed =
    OneOf<M, mutation::CreateSeries, mutation::DropSeries, mutation::DeleteBefore, mutation::CompactSeries,
          mutation::CompactAll, mutation::SaveCheckpoint, mutation::CommitStream, mutation::AbortStream,
          mutation::PruneRecords, mutation::LoadSeries, mutation::StartEpoch, mutation::PruneStreams>;

}  // namespace karma
