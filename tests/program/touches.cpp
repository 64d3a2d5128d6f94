#include "tests/program/touches.h"

#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <zlib.h>

#include <boost/json/serialize.hpp>

#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

// Wide enough for all days of the data.
constexpr std::uint32_t earliest_bucket = 20000101;
constexpr std::uint32_t latest_bucket = 20991231;

std::string unzipped(const std::filesystem::path& file) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(::gzopen(file.c_str(), "rb"), &::gzclose);
    if (!in) throw std::runtime_error("cannot open " + file.string());
    std::string text;
    std::array<char, 65536> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by gzread
    int got = 0;
    while ((got = ::gzread(in.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
        text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    if (got < 0) throw std::runtime_error("cannot read " + file.string());
    return text;
}

template <typename Number>
Number take_number(std::string_view& line) {
    const std::size_t comma = line.find(',');
    const std::string_view text = line.substr(0, comma);
    Number number = 0;
    const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || stopped != text.data() + text.size()) {
        throw std::runtime_error("no number: " + std::string(text));
    }
    line.remove_prefix(comma == std::string_view::npos ? line.size() : comma + 1);
    return number;
}

json::object between(std::uint64_t from, std::uint64_t to) { return {{"from", from}, {"to", to}}; }

std::uint32_t day_before(std::uint64_t bucket) {
    using namespace std::chrono;
    const year_month_day day =
        sys_days(year(static_cast<int>(bucket / 10000)) / static_cast<unsigned>(bucket / 100 % 100) /
                 static_cast<unsigned>(bucket % 100)) -
        days(1);
    return static_cast<std::uint32_t>(static_cast<int>(day.year())) * 10000 +
           static_cast<unsigned>(day.month()) * 100 + static_cast<unsigned>(day.day());
}

// Asks and compares, and collects the differences.
class Comparison {
public:
    Comparison(Client& client, const std::string& series) : client_(client), series_(series) {}

    json::value ask(std::string_view op, json::object fields) {
        fields["series"] = series_;
        return client_.call(op, fields);
    }

    void same(const std::string& what, const json::value& want, const json::value& got) {
        if (want == got) return;
        differences_.push_back(what + ": want " + json::serialize(want).substr(0, 500) + ", got " +
                               json::serialize(got).substr(0, 500));
    }

    std::vector<std::string> take() { return std::move(differences_); }

private:
    Client& client_;
    const std::string& series_;
    std::vector<std::string> differences_;
};

void compare_whole(Comparison& compare, const json::value& expected) {
    const json::value info = compare.ask("tree.info", {});
    compare.same("tree.info key_count", member(expected, "keys"), member(info, "key_count"));
    compare.same("tree.info bucket_count", member(expected, "points"), member(info, "bucket_count"));
    compare.same("tree.info total", member(expected, "total"), member(info, "total"));

    const json::value summary = compare.ask("tree.summary", {});
    compare.same("tree.summary active_keys", member(expected, "keys"), member(summary, "active_keys"));
    compare.same("tree.summary bucket_count", member(expected, "points"), member(summary, "bucket_count"));
    compare.same("tree.summary total", member(expected, "total"), member(summary, "total"));

    compare.same("tree.top", member(expected, "top10"),
                 member(compare.ask("tree.top", {{"limit", 10}}), "items"));

    // All days are within the first and the last one.
    const std::uint64_t first = as_number(member(expected, "first_day"));
    const std::uint64_t last = as_number(member(expected, "last_day"));
    const json::value within = compare.ask("tree.summary", {{"range", between(first, last)}});
    compare.same("tree.summary from first to last day", member(expected, "total"), member(within, "total"));
    const json::value before =
        compare.ask("tree.summary", {{"range", between(earliest_bucket, day_before(first))}});
    compare.same("tree.summary before the first day", json::value(0), member(before, "total"));
    const json::value until_last = compare.ask("tree.summary", {{"range", between(first, day_before(last))}});
    if (member(until_last, "total") == member(expected, "total"))
        compare.same("values on the last day", true, false);
}

void compare_ranges(Comparison& compare, const json::value& expected) {
    for (const json::value& wanted : member(expected, "ranges").as_array()) {
        const json::object days = between(as_number(member(wanted, "from")), as_number(member(wanted, "to")));
        const std::string where = " of " + json::serialize(days);
        const json::value summary = compare.ask("tree.summary", {{"range", days}});
        for (const char* const field : {"total", "active_keys", "bucket_count"}) {
            compare.same(field + where, member(wanted, field), member(summary, field));
        }
        const json::value top = compare.ask("tree.top", {{"limit", 5}, {"range", days}});
        compare.same("top five" + where, member(wanted, "top5"), member(top, "items"));
    }
}

void compare_keys(Comparison& compare, const json::value& expected) {
    json::array keys;
    json::array sums;
    for (const json::value& wanted : member(expected, "keys_sample").as_array()) {
        const json::value& key = member(wanted, "key");
        const std::string where = " of key " + json::serialize(key);
        compare.same("counter.sum" + where, member(wanted, "total"),
                     compare.ask("counter.sum", {{"key", key}}));
        const json::value points =
            compare.ask("counter.series", {{"key", key}, {"range", between(earliest_bucket, latest_bucket)}});
        compare.same("days" + where, member(wanted, "days"), json::value(points.as_object().size()));
        keys.push_back(key);
        sums.push_back(json::object{{"key", key}, {"value", member(wanted, "total")}});
    }
    compare.same("counter.batch_sum", sums, compare.ask("counter.batch_sum", {{"keys", keys}}));

    const json::value& hottest = member(expected, "series_of_top_key");
    compare.same("points of the hottest key", member(hottest, "points"),
                 compare.ask("counter.series", {{"key", member(hottest, "key")},
                                                {"range", between(earliest_bucket, latest_bucket)}}));
}

// tree.keys page by page: as many keys as there are, ascending, with totals that make up the whole.
void compare_key_pages(Comparison& compare, const json::value& expected) {
    std::uint64_t keys = 0;
    std::uint64_t total = 0;
    bool ascending = true;
    json::value cursor;
    do {
        json::object fields{{"limit", 10000}};
        if (!cursor.is_null()) fields["cursor"] = cursor;
        const json::value page = compare.ask("tree.keys", fields);
        for (const json::value& item : member(page, "keys").as_array()) {
            if (!cursor.is_null() && as_number(member(item, "key")) <= as_number(cursor)) ascending = false;
            cursor = member(item, "key");
            total += as_number(member(item, "total"));
            ++keys;
        }
        cursor = member(page, "next_cursor");
    } while (!cursor.is_null());
    compare.same("tree.keys ascending", true, ascending);
    compare.same("keys listed by tree.keys", member(expected, "keys"), json::value(keys));
    compare.same("sum of what tree.keys lists", member(expected, "total"), json::value(total));
}

}  // namespace

std::vector<Touch> load_touches() {
    const std::string text = unzipped(test_file("data/file-touches.csv.gz"));
    std::vector<Touch> rows;
    std::string_view rest = text;
    const auto next_line = [&] {
        const std::size_t newline = rest.find('\n');
        if (newline == std::string_view::npos)
            throw std::runtime_error("the data ends in the middle of a line");
        const std::string_view line = rest.substr(0, newline);
        rest.remove_prefix(newline + 1);
        return line;
    };
    if (next_line() != "key,bucket,value")
        throw std::runtime_error("the data does not start with its heading");
    while (!rest.empty()) {
        std::string_view line = next_line();
        const auto key = take_number<std::uint64_t>(line);
        const auto bucket = take_number<std::uint32_t>(line);
        const auto value = take_number<std::uint64_t>(line);
        rows.push_back({key, bucket, value});
    }
    return rows;
}

json::value expected_statistics() {
    return parse_json(read_file(test_file("data/file-touches.expected.json")));
}

void PointModel::add(std::span<const Touch> rows) {
    for (const Touch& row : rows) {
        points_[{row.key, row.bucket}] += row.value;
        total_ += row.value;
    }
}

std::string PointModel::difference(Client& client, const std::string& series) const {
    const json::value info = client.call("tree.info", {{"series", series}});
    if (as_number(member(info, "total")) != total_) {
        return "total: want " + std::to_string(total_) + ", got " + json::serialize(member(info, "total"));
    }
    const json::value tree =
        client.call("tree.series", {{"series", series}, {"range", between(earliest_bucket, latest_bucket)}});
    std::size_t found = 0;
    for (const auto& [key_text, days] : tree.as_object()) {
        std::string_view key_digits = key_text;
        const auto key = take_number<std::uint64_t>(key_digits);
        for (const auto& [day_text, value] : days.as_object()) {
            std::string_view day_digits = day_text;
            const auto point = points_.find({key, take_number<std::uint32_t>(day_digits)});
            if (point == points_.end() || point->second != as_number(value)) {
                return "key " + std::to_string(key) + " day " + std::string(day_text) + ": want " +
                       (point == points_.end() ? "nothing" : std::to_string(point->second)) + ", got " +
                       json::serialize(value);
            }
            ++found;
        }
    }
    if (found == points_.size()) return {};
    return "points: want " + std::to_string(points_.size()) + ", got " + std::to_string(found);
}

std::vector<std::string> figure_differences(Client& client, const std::string& series,
                                            const json::value& expected) {
    Comparison compare(client, series);
    compare_whole(compare, expected);
    compare_ranges(compare, expected);
    compare_keys(compare, expected);
    compare_key_pages(compare, expected);
    return compare.take();
}

}  // namespace karma::test
