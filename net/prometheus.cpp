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
    return std::holds_alternative<std::string>(value) ? "1" : "0";
}

/// A label's value may have any character.
std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text) {
        if (c == '\n') {
            result += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') {
            result += '\\';
        }
        result += c;
    }
    return result;
}

}  // namespace

std::string prometheus_text(const std::vector<Metric>& metrics) {
    std::string text;
    const char* before = nullptr;
    for (const Metric& metric : metrics) {
        if (metric.metric == nullptr) {
            continue;
        }
        const std::string name = metric.metric;
        if (before == nullptr || name != before) {  // those of one name stand together
            text += "# HELP " + name + " " + metric.help + "\n";
            text += "# TYPE " + name + (metric.kind == Metric::Kind::counter ? " counter\n" : " gauge\n");
        }
        before = metric.metric;
        text += name;
        if (metric.label != nullptr) {
            text += std::string("{") + metric.label + "=\"" + escaped(metric.label_value) + "\"}";
        }
        text += " " + number_text(metric.value) + "\n";
    }
    return text;
}

}  // namespace karma::net
