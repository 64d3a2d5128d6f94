// A `.tree` file of Karma 1.0: what can be read makes a series, whose file holds the same.
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/scan.h"
#include "engine/series.h"
#include "persist/karma1/tree_format.h"
#include "persist/karma1/tree_reader.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

Digest digest_of_tree(const Series& series) { return scan_digest(series.view(), NoDeadline()); }

using Contents = std::map<std::uint64_t, std::vector<Point>>;

Contents contents_of_file(std::string_view file) {
    Contents contents;
    bool is_twice = false;
    read_tree(file, [&](std::uint64_t key, std::span<const Point> points) {
        is_twice =
            !contents.emplace(key, std::vector<Point>(points.begin(), points.end())).second || is_twice;
        for (std::size_t i = 0; i < points.size(); ++i) {
            expect(points[i].value != 0 && (i == 0 || points[i - 1].day < points[i].day),
                   "buckets ascend by day and have values");
        }
    });
    expect(!is_twice, "a key is there once");
    return contents;
}

Contents contents_of(const SeriesView& view) {
    Contents contents;
    for (const PageRef& page : view.pages()) {
        page->for_each([&](Counter counter) {
            std::vector<Point>& points = contents[counter.key()];
            counter.for_each(DayRange{}, [&](Point point) { points.push_back(point); });
        });
    }
    return contents;
}

}  // namespace

void run_input(std::string_view input) {
    try {
        const Series series = read_tree_series("s", 1, 1, input);
        const SeriesView view = series.view();
        expect(contents_of(view) == contents_of_file(input), "a series holds what was read");
        const auto page = [&](std::size_t number) { return view.pages()[number]; };
        std::string file;
        write_tree(view.pages().size(), page, [&](std::string_view piece) { file += piece; });
        TreeStatistics statistics;
        for (const PageRef& one : view.pages()) {
            statistics += tree_statistics(*one);
        }
        expect(tree_file_bytes(statistics) == file.size(), "a file is as long as its numbers say");
        expect(digest_of_tree(read_tree_series("s", 2, 1, file)) == digest_of_tree(series),
               "a file that was written holds what was read");
    } catch (const CorruptionError&) {}
}

}  // namespace karma::test
