#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace karma::replica {

/// Takes fields of what a master answers. Everything throws ChannelError, which names the field, where it is
/// not what it should be.
class JsonFields {
public:
    explicit JsonFields(const boost::json::value& value);
    explicit JsonFields(const boost::json::object& object) : object_(object) {}

    /// Null where there is none.
    const boost::json::value* find(const char* name) const { return object_.if_contains(name); }
    bool is_null(const char* name) const;
    std::uint64_t number(const char* name) const;
    std::string_view text(const char* name) const;
    /// Nothing where there is none, or null.
    std::optional<std::uint64_t> number_if_any(const char* name) const;
    std::optional<std::string> text_if_any(const char* name) const;
    bool flag(const char* name) const;
    const boost::json::array& array(const char* name) const;
    const boost::json::value& value(const char* name) const;

private:
    const boost::json::object& object_;
};

}  // namespace karma::replica
