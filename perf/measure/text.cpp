#include "perf/measure/text.h"

#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

namespace karma::perf {

namespace {

std::array<std::pair<std::string_view, double>, 7> figures_us(const Histogram& nanoseconds) {
    const auto at = [&](double percent) {
        return static_cast<double>(nanoseconds.percentile(percent)) / 1e3;
    };
    return {{{"p50", at(50)},
             {"p90", at(90)},
             {"p95", at(95)},
             {"p99", at(99)},
             {"p99.9", at(99.9)},
             {"max", static_cast<double>(nanoseconds.max()) / 1e3},
             {"mean", nanoseconds.mean() / 1e3}}};
}

}  // namespace

std::string with_separators(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t place = text.size(); place > 3;) {
        place -= 3;
        text.insert(place, 1, ',');
    }
    return text;
}

std::string fixed(double number, int digits) {
    std::array<char, 400> text{};  // room for every double
    const int length = std::snprintf(text.data(), text.size(), "%.*f", digits, number);
    return {text.data(), static_cast<std::size_t>(length)};
}

std::string percentiles_text(const Histogram& nanoseconds) {
    std::string text;
    for (const auto& [name, value] : figures_us(nanoseconds)) {
        if (!text.empty()) text += "  ";
        text.append(name).append(" ").append(fixed(value, 1));
    }
    return text;
}

boost::json::object percentiles_json(const Histogram& nanoseconds) {
    boost::json::object object;
    for (const auto& [name, value] : figures_us(nanoseconds)) object[name] = value;
    return object;
}

}  // namespace karma::perf
