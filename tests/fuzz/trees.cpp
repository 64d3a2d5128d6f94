// A `.tree` file of Karma 1.0: what can be read makes a series, whose file holds the same.
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/scan.h"
#include "engine/series.h"
#include "persist/tree_format.h"
#include "persist/tree_reader.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

Digest digest_of_tree(const Series& series) { return scan_digest(series.view(), NoDeadline()); }

}  // namespace

void run_input(std::string_view input) {
    try {
        const Series series = read_tree_series("s", 1, 1, input);
        const SeriesView view = series.view();
        const auto page = [&](std::size_t number) { return view.pages()[number]; };
        std::string file;
        write_tree(view.pages().size(), page, [&](std::string_view piece) { file += piece; });
        TreeFigures figures;
        for (const PageRef& one : view.pages()) {
            figures += tree_figures(*one);
        }
        expect(tree_file_bytes(figures) == file.size(), "a file is as long as its figures say");
        expect(digest_of_tree(read_tree_series("s", 2, 1, file)) == digest_of_tree(series),
               "a file that was written holds what was read");
    } catch (const CorruptionError&) {}
}

}  // namespace karma::test
