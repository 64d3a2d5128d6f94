#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/event.h"

/// How events lie in the log: MessagePack, one value for each group of events that was committed together.
/// The format is docs/event-format.md.
namespace karma {

/// Encodes events into a group. Not thread-safe.
class EventGroupBuilder {
public:
    /// Adds an event. The first one opens the group; each further one must have the LSN that follows.
    void add(const Event& event);

    bool empty() const noexcept { return count_ == 0; }
    std::uint32_t count() const noexcept { return count_; }
    Lsn first_lsn() const noexcept { return first_lsn_; }
    /// Bytes of the events so far.
    std::size_t bytes() const noexcept { return events_.size(); }

    /// Writes the group's value to `out`, replacing its contents, and starts an empty group.
    void finish(std::string& out);

private:
    std::uint32_t series_number(std::string_view name);
    std::optional<std::uint32_t> find_number(std::string_view name) const noexcept;

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };

    Lsn first_lsn_ = 0;
    std::uint32_t count_ = 0;
    std::int64_t base_time_ms_ = 0;
    Day base_day_ = 0;
    std::string events_;
    std::string head_;                // scratch of finish
    std::vector<std::string> names_;  // of the series; those behind the first name_count_ are spare
    std::uint32_t name_count_ = 0;
    std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> numbers_;  // when they are many
    std::vector<std::uint32_t> event_series_;  // scratch: the numbers of those that an event names
    std::uint32_t last_number_ = 0;
};

/// The head of a group, which can be read without its events.
struct EventGroupInfo {
    Lsn first_lsn = 0;
    std::uint32_t count = 0;

    Lsn last_lsn() const noexcept { return first_lsn + count - 1; }
};

/// Checks the checksum and the form of a group and calls `visit` for each event in order. What the event
/// borrows lives until `visit` returns. Throws CorruptionError, with the LSN as far as it is known, when the
/// bytes are no group that this version reads.
EventGroupInfo read_event_group(std::string_view value, const std::function<void(const Event&)>& visit);

}  // namespace karma
