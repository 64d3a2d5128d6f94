#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/number.h"

namespace karma {

/// Checksums of events that are not in the log any more, so that it can be told whether another node's history
/// is a part of this one: of the events whose LSNs are multiples of a spacing, which doubles whenever there
/// would be too many of them. Not thread-safe.
class HistoryMarks {
public:
    static constexpr std::size_t marks_max = 4096;

    /// Nothing where that event has no mark.
    std::optional<std::uint32_t> checksum_at(Lsn lsn) const noexcept;
    std::size_t size() const noexcept { return marks_.size(); }
    Lsn spacing() const noexcept { return spacing_; }

    /// Adds the marks of the events from `begin` on and below `end` which come after those that it has.
    /// `checksum_at` gives nothing where it is not known.
    void extend(Lsn begin, Lsn end, const std::function<std::optional<std::uint32_t>(Lsn)>& checksum_at);

    /// As it is stored and sent: the spacing in 8 bytes, then LSN in 8 and checksum in 4 bytes of each mark,
    /// the highest byte first.
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
