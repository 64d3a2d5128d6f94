#pragma once

#include <string>
#include <vector>

#include "engine/stats.h"

namespace karma::net {

/// The metrics in Prometheus' text exposition format, version 0.0.4.
std::string prometheus_text(const std::vector<Metric>& metrics);

}  // namespace karma::net
