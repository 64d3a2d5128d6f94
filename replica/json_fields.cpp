#include "replica/json_fields.h"

#include "replica/channel.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

[[noreturn]] void fail(const char* field, const char* what) {
    throw ChannelError("the master answers something else than Karma does: field " + std::string(field) +
                       " " + what);
}

const json::object& to_object(const json::value& value) {
    if (!value.is_object()) {
        fail("response", "is no object");
    }
    return value.get_object();
}

}  // namespace

JsonFields::JsonFields(const json::value& value) : object_(to_object(value)) {}

const json::value& JsonFields::value(const char* name) const {
    const json::value* const found = find(name);
    if (found == nullptr) {
        fail(name, "is missing");
    }
    return *found;
}

bool JsonFields::is_null(const char* name) const {
    const json::value* const found = find(name);
    return found == nullptr || found->is_null();
}

std::uint64_t JsonFields::number(const char* name) const {
    boost::system::error_code failure;
    const auto number = value(name).to_number<std::uint64_t>(failure);
    if (failure) {
        fail(name, "is no number");
    }
    return number;
}

std::string_view JsonFields::text(const char* name) const {
    if (!value(name).is_string()) {
        fail(name, "is no text");
    }
    return value(name).get_string();
}

std::optional<std::uint64_t> JsonFields::number_if_any(const char* name) const {
    return is_null(name) ? std::nullopt : std::optional(number(name));
}

std::optional<std::string> JsonFields::text_if_any(const char* name) const {
    return is_null(name) ? std::nullopt : std::optional(std::string(text(name)));
}

bool JsonFields::flag(const char* name) const {
    if (!value(name).is_bool()) {
        fail(name, "is neither true nor false");
    }
    return value(name).get_bool();
}

const json::array& JsonFields::array(const char* name) const {
    if (!value(name).is_array()) {
        fail(name, "is no array");
    }
    return value(name).get_array();
}

}  // namespace karma::replica
