#pragma once

#include <string>

#include <boost/json/object.hpp>

namespace karma::cli {

/// The series of an entry of the log (the request that has its effect); empty where it has none. Control
/// characters are escaped.
std::string series_of_entry(const boost::json::object& entry);

/// What an entry does, in a few words: "key 42, 2026-05-05, +7".
std::string facts_of_entry(const boost::json::object& entry);

}  // namespace karma::cli
