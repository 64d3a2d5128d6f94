#include "tests/model/shrink.h"

#include <algorithm>
#include <chrono>

#include "tests/model/runner.h"

namespace karma::test::model {

namespace {

// Takes parts away, smaller and smaller ones, as long as what is left still differs.
template <typename T, typename Fails>
void reduce(std::vector<T>& parts, Fails&& fails) {
    for (std::size_t size = std::max<std::size_t>(1, parts.size() / 2);; size /= 2) {
        for (std::size_t at = 0; at < parts.size();) {
            std::vector<T> fewer = parts;
            const auto first = fewer.begin() + static_cast<std::ptrdiff_t>(at);
            fewer.erase(first, first + static_cast<std::ptrdiff_t>(std::min(size, fewer.size() - at)));
            if (fails(fewer))
                parts = std::move(fewer);
            else
                at += size;
        }
        if (size <= 1) return;
    }
}

}  // namespace

std::optional<std::string> difference_after(const Profile& profile, const std::vector<Step>& steps) {
    Profile fixed = profile;
    fixed.changes_options = false;
    Runner runner(fixed, std::mt19937_64(1));
    try {
        runner.play(steps);
        runner.compare_all();
    } catch (const std::exception& difference) {
        return difference.what();
    }
    return std::nullopt;
}

std::vector<Step> shrink(const Profile& profile, std::vector<Step> steps) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto fails = [&](const std::vector<Step>& some) {
        return std::chrono::steady_clock::now() < end && difference_after(profile, some).has_value();
    };
    if (!fails(steps)) return {};
    reduce(steps, fails);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (steps[i].lines.size() < 2) continue;
        std::vector<std::string> lines = steps[i].lines;
        reduce(lines, [&](const std::vector<std::string>& fewer) {
            std::vector<Step> changed = steps;
            changed[i].lines = fewer;
            return fails(changed);
        });
        steps[i].lines = lines;
    }
    return steps;
}

std::string to_text(const std::vector<Step>& steps) {
    std::string text;
    for (const Step& step : steps) {
        if (step.lines.size() > 1) text += "  --- one packet:\n";
        for (const std::string& line : step.lines) text += "  " + shortened(line, 2000) + "\n";
        if (step.kind == Step::Kind::restart)
            text += "  --- restart by signal " + std::to_string(step.signal) + "\n";
        if (step.kind == Step::Kind::kill) text += "  --- kill -9 and start\n";
        if (step.kind == Step::Kind::move) text += "  --- export, import, start there\n";
    }
    return text;
}

}  // namespace karma::test::model
