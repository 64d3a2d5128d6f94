// The image of a page: it is refused, or everything that can be done with a page can be done with this one.
// In front of it in the input lie two bytes with the length of what to do.
#include <algorithm>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/page.h"
#include "engine/series.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

SeriesTotals totals_of(const Page& page) {
    SeriesTotals totals;
    page.for_each([&](Counter counter) {
        ++totals.keys;
        totals.buckets += counter.buckets();
        totals.total += counter.total();
    });
    return totals;
}

std::uint64_t some_key(const Page& page, std::uint64_t number) {
    std::uint64_t key = number;
    std::uint64_t left = number % (page.keys() + 1);
    page.for_each([&](Counter counter) { key = left-- == 0 ? counter.key() : key; });
    return key;
}

void read_all(const Page& page) {
    page.for_each([&](Counter counter) {
        const std::uint64_t hash = hash_key(counter.key(), page.seed());
        const std::byte* const found = page.find(counter.key(), hash);
        expect(found != nullptr && Counter(found).key() == counter.key(), "a key can be found");
        std::uint64_t sum = 0;
        counter.for_each(DayRange{}, [&](Point point) {
            sum += point.value;
            expect(counter.value(point.day) == point.value, "a bucket can be found");
        });
        expect(sum == counter.total() && sum == counter.sum(DayRange{}), "a total is the sum of its buckets");
    });
}

void change(PageRef& page, InputReader& what, SeriesTotals& totals) {
    const std::uint64_t act = what.number(1);
    const std::uint64_t key = some_key(*page, what.number(1));
    const std::uint64_t hash = hash_key(key, page->seed());
    const auto day = static_cast<Day>(what.number(3) % (max_day + 1));
    const Day until = std::max(day, static_cast<Day>(what.number(3) % (max_day + 1)));
    const std::uint64_t value = what.number(act & 0x80U ? 8 : 1);
    const bool is_there = page->depth() == 0 || ((hash ^ page->prefix()) >> (64U - page->depth())) == 0;
    switch (act % 8) {
        case 0:
        case 1:
        case 2:
            if (is_there) {
                Page::change(page, key, hash, day, static_cast<Page::Change>(act % 8), value, totals);
            }
            break;
        case 3:
            if (is_there) {
                Page::touch(page, key, hash, totals);
            }
            break;
        case 4: Page::erase(page, {day, until}, totals); break;
        case 5: Page::erase_key(page, key, hash, {day, until}, totals); break;
        case 6: Page::drop_empty_keys(page, totals); break;
        default:
            if (page->depth() < 63) {
                auto [zero, one] = Page::split(*page);
                page = act & 0x40U ? zero : one;
                totals = totals_of(*page);
            }
            break;
    }
}

}  // namespace

void run_input(std::string_view input) {
    InputReader reader(input);
    InputReader what(reader.text());
    try {
        PageRef page = Page::from_image(reader.rest());
        read_all(*page);
        SeriesTotals totals = totals_of(*page);
        std::vector<PageRef> pages{page};
        while (!what.empty()) {
            change(page, what, totals);
        }
        read_all(*page);
        const Page& changed = *page;
        expect(Page::from_image(changed.image())->keys() == changed.keys(), "a changed page is sound");
        const SeriesTotals before = totals_of(*pages.front());
        (void)Series::from_pages("s", std::move(pages), before, 1);
    } catch (const CorruptionError&) {}
}

}  // namespace karma::test
