#pragma once

#include <concepts>
#include <variant>

#include "engine/fact.h"
#include "engine/mutation.h"

/// For functions that have one overload for each kind of command or of fact: those for which there is nothing
/// to do are listed, so that a kind that is added later and forgotten does not compile.
namespace karma {

template <typename M, typename... Listed>
concept OneOf = (std::same_as<M, Listed> || ...);

namespace detail {

template <typename M, typename... Kinds>
constexpr bool is_among(const std::variant<Kinds...>* /*of*/) noexcept {
    return OneOf<M, Kinds...>;
}

}  // namespace detail

/// The kinds of facts; many are kinds of commands as well.
template <typename F>
concept FactKind = detail::is_among<F>(static_cast<const Fact*>(nullptr));

/// Kinds that take no idempotency key and are no part of an ingest stream's contents.
template <typename M>
concept Unkeyed =
    OneOf<M, mutation::CreateSeries, mutation::DropSeries, mutation::DeleteBefore, mutation::CompactSeries,
          mutation::CompactAll, mutation::SaveCheckpoint, mutation::CommitStream, mutation::AbortStream,
          mutation::PruneRecords, fact::PruneRecords, mutation::LoadSeries, mutation::StartEpoch,
          mutation::PruneStreams, fact::PruneStreams>;

}  // namespace karma
