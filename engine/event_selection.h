#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/event.h"

namespace karma {

/// Events picked out of groups of the log, with all that they borrow. A copy shares the events. Used by one
/// thread at a time.
class EventSelection {
public:
    EventSelection();

    /// Decodes a group, and keeps the events that `wants` wants; it sees each event of the group, in order.
    /// Returns the number of bytes that are kept for them, about. Throws CorruptionError.
    std::size_t pick(std::string_view group, const std::function<bool(const Event&)>& wants);

    const std::vector<Event>& events() const noexcept;

private:
    struct Content;

    std::shared_ptr<Content> content_;
};

}  // namespace karma
