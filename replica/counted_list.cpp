#include "replica/counted_list.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

const CountedList::Member* CountedList::find(std::uint64_t node) const noexcept {
    const auto found =
        std::ranges::find_if(members, [node](const Member& one) { return one.node.node.id == node; });
    return found == members.end() ? nullptr : &*found;
}

bool CountedList::counts(std::uint64_t node) const noexcept {
    const Member* const member = find(node);
    return member != nullptr && member->is_counted;
}

json::value to_json(const CountedList& list) {
    json::array members;
    for (const CountedList::Member& member : list.members) {
        members.push_back(json::object{{"id", member.node.node.id},
                                       {"name", member.node.node.name},
                                       {"host", member.node.host},
                                       {"port", member.node.port},
                                       {"counted", member.is_counted},
                                       {"since", member.since}});
    }
    return json::object{{"epoch", list.epoch.number},  {"epoch_id", list.epoch.id},
                        {"master", list.master},       {"version", list.version},
                        {"told_from", list.told_from}, {"nodes", std::move(members)}};
}

CountedList counted_list_in(const json::value& value) {
    constexpr std::size_t members_limit = 4096;
    const JsonFields fields(value);
    CountedList list;
    list.epoch = {fields.number("epoch"), fields.number("epoch_id"), 0};
    list.master = fields.number("master");
    list.version = fields.number("version");
    list.told_from = fields.number_if_any("told_from").value_or(0);
    for (const json::value& one : fields.array("nodes")) {
        const JsonFields node(one);
        const std::uint64_t port = node.number("port");
        if (port > UINT16_MAX || list.members.size() == members_limit) {
            throw ChannelError("a list of counted followers is damaged");
        }
        list.members.push_back({{{node.number("id"), std::string(node.text("name"))},
                                 std::string(node.text("host")),
                                 static_cast<std::uint16_t>(port)},
                                node.flag("counted"),
                                node.number("since")});
    }
    return list;
}

}  // namespace karma::replica
