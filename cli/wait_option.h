#pragma once

#include <functional>
#include <string>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

#include "cli/client_options.h"

namespace karma::cli {

/// The option --wait[=SECONDS]; `until` is its help: what it waits for.
void add_wait_option(boost::program_options::options_description& description, const char* until);

/// Calls `attempt`, which says why it was not enough, or nothing. With --wait it is called again and again,
/// also after a net::ConnectionError, until it says nothing or the time is over. Returns what it said last;
/// throws what it threw last, and UsageError.
std::string attempt_or_wait(const boost::program_options::variables_map& values,
                            const std::function<std::string(const ClientOptions&)>& attempt);

}  // namespace karma::cli
