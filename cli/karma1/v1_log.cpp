#include "cli/karma1/v1_log.h"

#include <algorithm>
#include <span>
#include <variant>

#include "cli/input_file.h"
#include "cli/text.h"
#include "engine/check.h"
#include "engine/error.h"
#include "persist/file_content.h"
#include "persist/karma1/tree_reader.h"

namespace karma::cli {
namespace {

constexpr std::int64_t ms_per_second = 1000;

/// The first names of a list, and how many more there are.
std::string first_names(const std::vector<std::string>& names) {
    constexpr std::size_t shown_max = 5;
    std::string text;
    for (std::size_t i = 0; i < std::min(shown_max, names.size()); ++i) {
        text.append(i == 0 ? "" : ", ").append(cli::quoted(names[i]));
    }
    if (names.size() > shown_max) {
        text.append(" and ").append(std::to_string(names.size() - shown_max)).append(" more");
    }
    return text;
}

}  // namespace

std::optional<std::string> V1Log::apply(const LogLine& line) {
    parser_.release();
    Request request;
    net::Call call;
    Error wrong;
    const auto* const value = parser_.parse(line.entry, wrong);
    std::optional<Error> refused =
        value == nullptr ? std::optional(wrong) : decoder_.decode(*value, true, request, call);
    if (refused) {
        throw InputError(line.place + ": " + refused->message);
    }
    if (!day_) {
        day_ = day_from_unix_ms(line.modified_unix * ms_per_second);
    }
    if (const auto* const loaded = std::get_if<control::LoadSnapshot>(&request)) {
        return load(line, std::string(loaded->file));
    }
    auto* const body = std::get_if<Mutation>(&request);
    if (body == nullptr) {
        return "it is none that changes something";
    }
    touched_.emplace(series_of(*body));
    if (std::holds_alternative<mutation::DropSeries>(*body)) {
        dropped_.emplace(series_of(*body));
    }
    if (auto* const increment = std::get_if<mutation::Increment>(body)) {
        increment->day = *day_;
    } else if (auto* const decrement = std::get_if<mutation::Decrement>(body)) {
        decrement->day = *day_;
    }
    return execute(line, *body);
}

std::optional<std::string> V1Log::execute(const LogLine& line, const Mutation& body) {
    engine_.restore_last_lsn(line.lsn - 1);
    const Outcome outcome = engine_.execute(Request(body), line.modified_unix * ms_per_second);
    const auto* const refused = std::get_if<Error>(&std::get<Reply>(outcome.result));
    return refused == nullptr ? std::nullopt : std::optional(refused->message);
}

/// The series becomes what a file holds.
std::optional<std::string> V1Log::load(const LogLine& line, const std::string& name) {
    const std::filesystem::path path = directory_ / name;
    const std::optional<TreeFile> file = tree_file(path);
    if (!file || !std::filesystem::is_regular_file(path)) {
        throw InputError(line.place + " loads " + path.string() + ", which is not there");
    }
    std::vector<mutation::Item> items;
    try {
        const FileContent content(path);
        read_tree(content.bytes(), [&](std::uint64_t key, std::span<const Point> points) {
            for (const Point& point : points) {
                items.push_back({key, point.day, point.value});
            }
        });
    } catch (const CorruptionError& failure) {
        throw InputError(path.string() + ": " + failure.what());
    }
    touched_.insert(file->series);
    if (engine_.find_series(file->series) != nullptr) {
        execute(line, mutation::DropSeries{file->series});
    }
    return execute(line, mutation::BatchSet{file->series, items});
}

std::vector<std::string> V1Log::warnings(const std::vector<TreeFile>& files) const {
    const auto [oldest, newest] = std::ranges::minmax_element(files, {}, &TreeFile::timestamp);
    if (files.empty() || oldest->timestamp == newest->timestamp) {
        return {};
    }
    std::vector<std::string> dropped;
    std::vector<std::string> counted_twice;
    for (const TreeFile& file : files) {
        if (file.timestamp < newest->timestamp && !dropped_.contains(file.series)) {
            dropped.push_back(file.series);
        }
        if (file.timestamp > oldest->timestamp && touched_.contains(file.series)) {
            counted_twice.push_back(file.series);
        }
    }
    std::vector<std::string> warnings;
    if (!dropped.empty()) {
        warnings.push_back("the latest files of series " + first_names(dropped) +
                           " are older than those of others: what was dropped in between has to be dropped "
                           "again, because Karma 0.1 leaves its files behind");
    }
    if (!counted_twice.empty()) {
        warnings.push_back(
            "the latest files of series " + first_names(counted_twice) +
            " are newer than those of others: if one was made by dump, not by dump_all, entries "
            "of the log from before it are counted twice, as Karma 0.1 does when it starts. It "
            "ends its log with dump_all and when SIGINT stops it");
    }
    return warnings;
}

}  // namespace karma::cli
