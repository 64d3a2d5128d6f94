#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace karma::replica {

/// Reads fields of a master's reply. All functions throw ChannelError that names a field of the wrong type.
class JsonFields {
public:
    explicit JsonFields(const boost::json::value& value);
    explicit JsonFields(const boost::json::object& object) : object_(object) {}

    /// Null if there is no such field.
    const boost::json::value* find(const char* name) const { return object_.if_contains(name); }
    bool is_null(const char* name) const;
    std::uint64_t number(const char* name) const;
    std::string_view text(const char* name) const;
    /// Nothing if there is no such field, or it is null.
    std::optional<std::uint64_t> number_if_any(const char* name) const;
    std::optional<std::string> text_if_any(const char* name) const;
    bool flag(const char* name) const;
    const boost::json::array& array(const char* name) const;
    const boost::json::value& value(const char* name) const;

private:
    const boost::json::object& object_;
};

}  // namespace karma::replica
