#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/number.h"

namespace karma {

/// Checksums of events that are not in the log any more. They show whether another node's history is a part
/// of this one. The events are those whose LSNs are multiples of a spacing, which doubles when there would be
/// too many. Not thread-safe.
class HistoryMarks {
public:
    static constexpr std::size_t marks_max = 4096;

    /// Nothing where that event has no mark.
    std::optional<std::uint32_t> checksum_at(Lsn lsn) const noexcept;
    std::size_t size() const noexcept { return marks_.size(); }
    Lsn spacing() const noexcept { return spacing_; }

    /// Adds the checksums of the events from `begin` on and below `end`, unless it has later ones.
    /// `checksum_at` returns nothing for an unknown checksum.
    void extend(Lsn begin, Lsn end, const std::function<std::optional<std::uint32_t>(Lsn)>& checksum_at);

    /// The stored and sent form: the spacing in 8 bytes, then for each mark the LSN in 8 and the checksum in
    /// 4 bytes, big-endian.
    std::string encoded() const;
    /// Throws CorruptionError.
    static HistoryMarks decoded(std::string_view bytes);

private:
    void widen();

    struct Mark {
        Lsn lsn = 0;
        std::uint32_t checksum = 0;
    };

    Lsn spacing_ = 1;  // a power of two
    std::vector<Mark> marks_;
};

}  // namespace karma
