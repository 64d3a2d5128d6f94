#include "engine/event_selection.h"

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <type_traits>
#include <variant>

#include "engine/event_codec.h"

namespace karma {

/// Nothing that is kept moves: the events borrow it.
struct EventSelection::Content {
    std::vector<Event> events;
    std::deque<std::string> groups;  // with the texts
    std::deque<std::vector<mutation::Item>> items;
    std::deque<std::vector<mutation::SeriesItem>> series_items;
    std::deque<std::vector<std::uint64_t>> keys;
    std::size_t bytes = 0;

    /// Keeps an event whose texts lie in `groups`.
    void keep(Event event) {
        std::visit([this](auto& body) { keep_lists(body); }, event.body);
        events.push_back(event);
        bytes += sizeof(Event);
    }

private:
    /// Points a fact to copies of what the decoder uses again for the next event.
    template <typename Body>
    void keep_lists(Body& body) {
        if constexpr (std::is_same_v<Body, fact::MultiAdd>) {
            const auto& kept = series_items.emplace_back(body.items.begin(), body.items.end());
            body.items = fact::DatedItems(kept, 0);
            bytes += kept.size() * sizeof(mutation::SeriesItem);
        } else if constexpr (requires { body.items; }) {
            keep_list(body.items, items);
        }
        if constexpr (requires { body.keys; }) {
            keep_list(body.keys, keys);
        }
    }

    template <typename Element>
    void keep_list(std::span<const Element>& list, std::deque<std::vector<Element>>& kept) {
        list = kept.emplace_back(list.begin(), list.end());
        bytes += list.size_bytes();
    }
};

EventSelection::EventSelection() : content_(std::make_shared<Content>()) {}

std::size_t EventSelection::pick(std::string_view group, const std::function<bool(const Event&)>& wants) {
    Content& content = *content_;
    const std::size_t bytes_before = content.bytes;
    const std::size_t events_before = content.events.size();
    const std::string& bytes = content.groups.emplace_back(group);
    read_event_group(bytes, [&](const Event& event) {
        if (wants(event)) {
            content.keep(event);
        }
    });
    if (content.events.size() == events_before) {
        content.groups.pop_back();
    } else {
        content.bytes += group.size();
    }
    return content.bytes - bytes_before;
}

const std::vector<Event>& EventSelection::events() const noexcept { return content_->events; }

}  // namespace karma
