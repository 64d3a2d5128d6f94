#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace karma::replica {

/// The digests of a state, part by part, so that a comparison can name the part that differs.
struct Digests {
    Lsn lsn = 0;
    Digest beside;  // of what is of no series: checkpoints, ingest streams
    std::map<std::string, Digest> series;
    /// Of the idempotency records, if the node knows it. Not part of the total, which every node can compute,
    /// whichever records it has forgotten.
    std::optional<RecordsDigest> records;
    /// Not part of the total: see StateView. Other nodes send only the sum of this and of `beside`.
    Digest epochs = {};

    bool operator==(const Digests&) const = default;
    /// Of the state without idempotency records, as snapshot.verify shows it.
    Digest total() const noexcept;
    /// Of everything that belongs to no series.
    Digest rest() const noexcept;
};

/// Reads the whole state.
Digests digests_of(const StateView& view, const Deadline& deadline);

/// The payload of a frame. `read` throws ChannelError.
std::string write_digests(const Digests& digests);
Digests read_digests(std::string_view payload);

/// What differs, for a person: some names of series. Empty if nothing differs. Records are compared if both
/// sides sent their digest.
std::string difference(const Digests& here, const Digests& there);

}  // namespace karma::replica
