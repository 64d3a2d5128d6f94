#include "cli/progress.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

#include "cli/text.h"

namespace karma::cli {

namespace {

std::string duration_text(double seconds) {
    const auto whole = static_cast<unsigned long>(std::clamp(seconds, 0.0, 359'999.0));
    std::array<char, 32> text{};
    if (whole >= 3'600) {
        (void)std::snprintf(text.data(), text.size(), "%lu:%02lu:%02lu", whole / 3'600, whole / 60 % 60,
                            whole % 60);
    } else {
        (void)std::snprintf(text.data(), text.size(), "%lu:%02lu", whole / 60, whole % 60);
    }
    return text.data();
}

std::string bytes_text(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto amount = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; amount >= 1'024 && unit + 1 < units.size(); ++unit) amount /= 1'024;
    std::array<char, 32> text{};
    (void)std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return text.data();
}

std::uint64_t per_second(std::uint64_t count, double seconds) {
    return seconds <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(count) / seconds);
}

}  // namespace

std::string progress_line(const ProgressState& state, std::size_t width) {
    std::string rows(state.what);
    if (!rows.empty()) rows += "  ";
    rows += grouped(state.rows) + " rows  " + grouped(per_second(state.rows, state.seconds)) + " rows/s";
    if (!state.total_bytes || *state.total_bytes == 0) {
        return (rows + "  " + bytes_text(state.bytes) + " read").substr(0, width);
    }
    const double share =
        std::min(1.0, static_cast<double>(state.bytes) / static_cast<double>(*state.total_bytes));
    std::array<char, 8> percent{};
    (void)std::snprintf(percent.data(), percent.size(), "%3.0f%%", std::min(share * 100, 100.0));
    std::string text = std::string(percent.data()) + "  " + rows;
    if (share > 0) text += "  ETA " + duration_text(state.seconds / share - state.seconds);

    constexpr std::size_t smallest_bar = 10;
    constexpr std::size_t largest_bar = 40;
    constexpr std::size_t bar_frame = 3;  // brackets and a space
    if (text.size() + bar_frame + smallest_bar <= width) {
        const std::size_t cells = std::min(largest_bar, width - text.size() - bar_frame);
        const auto filled = static_cast<std::size_t>(share * static_cast<double>(cells));
        text = '[' + std::string(filled, '#') + std::string(cells - filled, '.') + "] " + text;
    }
    return text.substr(0, width);
}

Progress::~Progress() { clear(); }

bool Progress::due() { return enabled_ && std::chrono::steady_clock::now() >= next_; }

void Progress::update(const ProgressState& state) {
    if (!enabled_) return;
    // Back to the first column, the text, and clear what the last one leaves behind it.
    terminal_ << '\r' << progress_line(state, width_) << "\x1b[K" << std::flush;
    shown_ = true;
    next_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
}

void Progress::clear() {
    if (!shown_) return;
    terminal_ << "\r\x1b[K" << std::flush;
    shown_ = false;
}

}  // namespace karma::cli
