#include "persist/checkpoints_json.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace karma {

namespace json = boost::json;

namespace {

json::value text_or_null(const std::optional<std::string>& text) {
    return text ? json::value(*text) : json::value(nullptr);
}

}  // namespace

json::array checkpoints_json(std::span<const reply::Checkpoint> checkpoints) {
    json::array all;
    for (const reply::Checkpoint& checkpoint : checkpoints) {
        all.push_back(json::object{{"source", checkpoint.source},
                                   {"offset", text_or_null(checkpoint.offset)},
                                   {"event_id", text_or_null(checkpoint.event_id)},
                                   {"updated_at_unix", checkpoint.updated_at_unix}});
    }
    return all;
}

}  // namespace karma
