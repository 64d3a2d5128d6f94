#include "engine/series.h"

#include <bit>

#include "engine/error.h"

namespace karma {
namespace {

std::size_t bytes_of(const Directory& directory) noexcept {
    std::size_t bytes = directory.index.size() * sizeof(std::uint32_t);
    for (const PageRef& page : directory.pages) {
        bytes += page->bytes() + sizeof(PageRef);
    }
    return bytes;
}

/// Whether a page may split: a few unlucky pages must not double the index again and again.
bool may_split(const Directory& directory, const Page& page) noexcept {
    constexpr unsigned extra_depth = 6;
    return page.depth() < 63 && (page.depth() < std::bit_width(directory.pages.size()) + extra_depth ||
                                 page.bytes() > Page::split_always_bytes);
}

/// Points the index entries of a page to it.
void enter(Directory& directory, std::uint32_t page_number) {
    const Page& page = *directory.pages[page_number];
    const std::size_t entries = std::size_t{1} << (directory.depth - page.depth());
    const std::size_t first = directory.depth == 0 ? 0 : page.prefix() >> (64U - directory.depth);
    std::fill_n(directory.index.begin() + static_cast<std::ptrdiff_t>(first), entries, page_number);
}

}  // namespace

std::size_t SeriesView::bytes() const noexcept { return bytes_of(*directory_); }

Series::Series(std::string name, std::uint64_t hash_seed)
    : name_(std::move(name)), hash_seed_(hash_seed), directory_(new Directory) {
    directory_->pages.push_back(Page::create(hash_seed_, 0, 0));
}

std::size_t Series::bytes() const noexcept { return sizeof(Series) + name_.size() + bytes_of(*directory_); }

std::uint64_t Series::value(std::uint64_t key, Day day) const noexcept {
    const std::byte* const record = find(key);
    return record == nullptr ? 0 : Counter(record).value(day);
}

std::uint64_t Series::total(std::uint64_t key) const noexcept {
    const std::byte* const record = find(key);
    return record == nullptr ? 0 : Counter(record).total();
}

std::uint64_t Series::sum(std::uint64_t key, DayRange range) const noexcept {
    const std::byte* const record = find(key);
    return record == nullptr ? 0 : Counter(record).sum(range);
}

Directory& Series::writable_directory() {
    if (!directory_->is_unique()) {
        directory_ = IntrusivePtr<Directory>(new Directory(*directory_));
    }
    return *directory_;
}

void Series::change(std::uint64_t key, Day day, Page::Change change, std::uint64_t value) {
    const std::uint64_t key_hash = hash(key);
    Directory& directory = writable_directory();
    const std::uint32_t number = directory.page_of(key_hash);
    PageRef& page = directory.pages[number];
    Page::change(page, key, key_hash, day, change, value, totals_);
    if (page->wants_split() && may_split(directory, *page)) {
        split_page(number);
    }
}

void Series::split_page(std::uint32_t page_number) {
    Directory& directory = *directory_;
    auto [zero, one] = Page::split(*directory.pages[page_number]);
    if (zero->depth() > directory.depth) {
        std::vector<std::uint32_t> doubled;
        doubled.reserve(directory.index.size() * 2);
        for (const std::uint32_t entry : directory.index) {
            doubled.push_back(entry);
            doubled.push_back(entry);
        }
        directory.index = std::move(doubled);
        ++directory.depth;
    }
    const auto added = static_cast<std::uint32_t>(directory.pages.size());
    directory.pages[page_number] = std::move(zero);
    directory.pages.push_back(std::move(one));
    enter(directory, page_number);
    enter(directory, added);
}

void Series::add(std::uint64_t key, Day day, std::uint64_t value) {
    change(key, day, Page::Change::add, value);
}

void Series::add_all(std::span<const mutation::Item> items) {
    visit_ahead(
        items.size(), [&](std::size_t i) { return items[i].key; },
        [&](std::size_t i) { add(items[i].key, items[i].day, items[i].value); });
}

void Series::set_all(std::span<const mutation::Item> items) {
    visit_ahead(
        items.size(), [&](std::size_t i) { return items[i].key; },
        [&](std::size_t i) { set(items[i].key, items[i].day, items[i].value); });
}

void Series::subtract(std::uint64_t key, Day day, std::uint64_t value) {
    change(key, day, Page::Change::subtract, value);
}

void Series::set(std::uint64_t key, Day day, std::uint64_t value) {
    change(key, day, Page::Change::set, value);
}

bool Series::erase(std::uint64_t key, DayRange range) {
    if (sum(key, range) == 0) {
        return false;
    }
    const std::uint64_t key_hash = hash(key);
    Directory& directory = writable_directory();
    return Page::erase_key(directory.pages[directory.page_of(key_hash)], key, key_hash, range, totals_);
}

void Series::erase(DayRange range) {
    for (PageRef& page : writable_directory().pages) {
        Page::erase(page, range, totals_);
    }
}

void Series::drop_empty_keys() {
    for (PageRef& page : writable_directory().pages) {
        Page::drop_empty_keys(page, totals_);
    }
}

void Series::clear() {
    directory_ = IntrusivePtr<Directory>(new Directory);
    directory_->pages.push_back(Page::create(hash_seed_, 0, 0));
    totals_ = {};
}

SeriesView Series::view() const {
    return {name_, IntrusivePtr<const Directory>(directory_.get()), totals_, last_lsn_};
}

Series Series::from_pages(std::string name, std::vector<PageRef> pages, SeriesTotals totals, Lsn last_lsn) {
    const auto damaged = [&](const std::string& what) {
        return CorruptionError("snapshot of series \"" + name + "\": " + what);
    };
    if (pages.empty()) {
        throw damaged("no pages");
    }
    Series series(name, pages.front()->seed());
    Directory& directory = *series.directory_;
    SeriesTotals found;
    std::size_t bytes = 0;
    for (const PageRef& page : pages) {
        bytes += page->bytes();
        directory.depth = std::max(directory.depth, page->depth());
        page->for_each([&](Counter counter) {
            ++found.keys;
            found.buckets += counter.buckets();
            found.total += counter.total();
        });
    }
    // A directory has some entries for each page: `may_split` sees to it.
    constexpr std::size_t index_share_max = 64;
    if (directory.depth > 40 || !(found == totals) ||
        (sizeof(std::uint32_t) << directory.depth) > index_share_max * bytes) {
        throw damaged("the pages do not hold what the manifest says");
    }
    constexpr std::uint32_t nowhere = 0xFFFFFFFF;
    directory.index.assign(std::size_t{1} << directory.depth, nowhere);
    std::size_t covered = 0;
    directory.pages = std::move(pages);
    for (std::uint32_t number = 0; number < directory.pages.size(); ++number) {
        if (directory.pages[number]->seed() != series.hash_seed_) {
            throw damaged("pages of different databases");
        }
        covered += std::size_t{1} << (directory.depth - directory.pages[number]->depth());
        enter(directory, number);
    }
    if (covered != directory.index.size() ||
        std::ranges::find(directory.index, nowhere) != directory.index.end()) {
        throw damaged("a page is missing");
    }
    series.totals_ = totals;
    series.last_lsn_ = last_lsn;
    return series;
}

}  // namespace karma
