#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/page.h"

/// The `.tree` file of Karma 1.0, written from pages: see docs/karma-1-formats.md.
namespace karma {

/// Maps of a file: a key lies in map `key % tree_branches`.
inline constexpr std::size_t tree_branches = 9;

/// What counters add to a file.
struct TreeStatistics {
    std::uint64_t bytes = 0;                          // of their entries
    std::array<std::uint32_t, tree_branches> keys{};  // in each branch

    TreeStatistics& operator+=(const TreeStatistics& other) noexcept;
    bool operator==(const TreeStatistics&) const = default;
};

/// Of the counters of a page.
TreeStatistics tree_statistics(const Page& page) noexcept;

/// Bytes of the file of a series whose pages add up to `statistics`.
std::uint64_t tree_file_bytes(const TreeStatistics& sum) noexcept;

/// Gives the pages of a series by their number, one at a time.
using PageSource = std::function<PageRef(std::size_t)>;

/// Where things lie in the file that some pages make, so that any part of it can be made by itself. The same
/// pages give the same bytes: branch by branch, in it page by page, in it in the order of the page. Some 72
/// bytes of memory a page. Thread-safe once made.
class TreeLayout {
public:
    /// Reads each page once.
    TreeLayout(std::size_t pages, const PageSource& source);

    /// Bytes of the file.
    std::uint64_t size() const noexcept { return tail_at_ + tail_size; }

    /// Appends `count` bytes from `offset` on, fewer where the file ends before; reads only pages that are
    /// needed for it.
    void read(std::uint64_t offset, std::size_t count, const PageSource& source, std::string& out) const;

private:
    static constexpr std::size_t tail_size = 14;

    /// The part of the file that a place lies in, as far as it can be made at once.
    std::uint64_t make_part(std::uint64_t at, const PageSource& source, std::string& part) const;

    std::size_t pages_;
    std::array<std::uint32_t, tree_branches> keys_{};
    std::array<std::uint64_t, tree_branches> branch_at_{};
    std::vector<std::uint64_t> entries_at_;  // of each page in each branch
    std::uint64_t tail_at_ = 0;
};

/// Hands the whole file to `sink` in pieces of about a MiB.
void write_tree(std::size_t pages, const PageSource& source,
                const std::function<void(std::string_view)>& sink);

}  // namespace karma
