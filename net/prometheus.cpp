#include "net/prometheus.h"

#include <string>
#include <variant>

namespace karma::net {
namespace {

std::string number_text(const Metric::Value& value) {
    if (const auto* const number = std::get_if<std::uint64_t>(&value)) {
        return std::to_string(*number);
    }
    if (const auto* const number = std::get_if<double>(&value)) {
        return std::to_string(*number);
    }
    if (const auto* const flag = std::get_if<bool>(&value)) {
        return *flag ? "1" : "0";
    }
    return "0";
}

}  // namespace

std::string prometheus_text(const std::vector<Metric>& metrics) {
    std::string text;
    for (const Metric& metric : metrics) {
        if (metric.metric == nullptr) {
            continue;
        }
        const std::string name = metric.metric;
        text += "# HELP " + name + " " + metric.help + "\n";
        text += "# TYPE " + name + (metric.kind == Metric::Kind::counter ? " counter\n" : " gauge\n");
        if (metric.label != nullptr) {
            text += name + "{" + metric.label + "=\"" + std::get<std::string>(metric.value) + "\"} 1\n";
        } else {
            text += name + " " + number_text(metric.value) + "\n";
        }
    }
    return text;
}

}  // namespace karma::net
