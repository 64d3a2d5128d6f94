#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace karma::replica {

/// The digests of a state, part by part, so that where two of them differ it can be said what differs.
struct Digests {
    Lsn lsn = 0;
    Digest beside;  // of what is of no series: checkpoints, ingest streams
    std::map<std::string, Digest> series;
    /// Of the idempotency records, where the node knows it. Not part of the total, which every node can
    /// compute of a state, whenever its records are forgotten.
    std::optional<RecordsDigest> records;
    /// Not part of the total: see StateView. Other nodes tell only the sum of this and of `beside`.
    Digest epochs = {};

    bool operator==(const Digests&) const = default;
    /// Of the state without idempotency records: what snapshot.verify says, too.
    Digest total() const noexcept;
    /// All that is of no series.
    Digest rest() const noexcept;
};

/// Reads the whole state.
Digests digests_of(const StateView& view, const Deadline& deadline);

/// The payload of a frame. `read` throws ChannelError.
std::string write_digests(const Digests& digests);
Digests read_digests(std::string_view payload);

/// What differs, for people: some of the series' names. Empty where nothing does. Records are
/// compared where both sides tell of them.
std::string difference(const Digests& here, const Digests& there);

}  // namespace karma::replica
