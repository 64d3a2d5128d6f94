#pragma once

#include <span>
#include <string>
#include <string_view>

namespace karma::cli {

/// True when the first argument of `karma call` is JSON and not the name of an op.
bool looks_like_json(std::string_view argument);

/// A request given as JSON, on one line. It is sent as it stands, right or wrong; only where it is an object
/// without a "token", a `token` that is not empty is added. Throws UsageError where it has a field that its
/// op, if it is known here, does not take.
std::string request_from_json(std::string_view json, std::string_view token);

/// A v2 request from an op and name=value arguments. A dotted name makes nested objects
/// ("range.from=20260101"). A value that is JSON is taken as such, digit for digit; any other text becomes a
/// string. Fields that the protocol defines as strings (series, source, ...) always become one: there, only a
/// quoted JSON string is read as JSON. A `token` that is not empty is added unless the arguments have one.
/// Throws UsageError naming the argument, and for a field as request_from_json does.
std::string request_from_fields(std::string_view op, std::span<const std::string> fields,
                                std::string_view token);

}  // namespace karma::cli
