#include "engine/page.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "engine/error.h"
#include "engine/slot_group.h"

namespace karma {
namespace {

/// Points of the counter being rewritten; kept between calls so that rewriting does not allocate.
std::vector<Point>& scratch() {
    thread_local std::vector<Point> points;
    points.clear();
    return points;
}

/// Merges a change into points that ascend by day.
void merge(std::vector<Point>& points, Point change) {
    const auto at = std::lower_bound(points.begin(), points.end(), change.day,
                                     [](const Point& point, Day day) { return point.day < day; });
    const bool exists = at != points.end() && at->day == change.day;
    if (exists && change.value == 0) {
        points.erase(at);
    } else if (exists) {
        at->value = change.value;
    } else if (change.value != 0) {
        points.insert(at, change);
    }
}

std::uint64_t changed_value(std::uint64_t old, Page::Change change, std::uint64_t value) noexcept {
    switch (change) {
        case Page::Change::add: return old + value;
        case Page::Change::subtract: return old > value ? old - value : 0;
        default: return value;
    }
}

}  // namespace

Page* Page::allocate(const Header& header) {
    const std::size_t size = sizeof(Page) + header.slots * sizeof(std::uint32_t) + header.capacity;
    Page* const page = new (::operator new(size)) Page(header);
    std::memset(page->slots(), 0, header.slots * sizeof(std::uint32_t));
    return page;
}

void Page::destroy(const Page* page) noexcept {
    page->~Page();
    ::operator delete(const_cast<Page*>(page));
}

PageRef Page::create_for(std::uint64_t seed, unsigned depth, std::uint64_t prefix, std::size_t keys,
                         std::size_t live) {
    Header header;
    header.seed = seed;
    header.prefix = prefix;
    header.depth = depth;
    header.slots = static_cast<std::uint32_t>(std::max<std::size_t>(4, keys + keys / 4 + 1));
    header.capacity = static_cast<std::uint32_t>((live + std::max<std::size_t>(live / 8, 32)) / 4 * 4);
    return PageRef(allocate(header));
}

PageRef Page::create(std::uint64_t seed, unsigned depth, std::uint64_t prefix) {
    return create_for(seed, depth, prefix, 0, 0);
}

std::size_t Page::bytes() const noexcept {
    return sizeof(Page) + header_.slots * sizeof(std::uint32_t) + header_.capacity;
}

std::uint32_t Page::find_slot(std::uint64_t key, std::uint64_t hash) const noexcept {
    const std::uint32_t tag = tag_of(hash);
    const std::uint32_t* const table = slots();
    const auto is_at = [&](std::uint32_t index) {
        return Counter(heap() + position(table[index])).key() == key;
    };
    std::uint32_t index = first_slot(hash);
    while (true) {
        if (index + SlotGroup::size <= header_.slots) {
            SlotGroup group(table + index, tag);
            while (group.has_candidate()) {
                const std::uint32_t found = index + group.take_candidate();
                if (is_at(found)) {
                    return found;
                }
            }
            if (group.has_free()) {
                return header_.slots;
            }
            index += SlotGroup::size;
        } else {
            if (table[index] == 0) {
                return header_.slots;
            }
            if ((table[index] & 0xFFU) == tag && is_at(index)) {
                return index;
            }
            ++index;
        }
        if (index == header_.slots) {
            index = 0;
        }
    }
}

const std::byte* Page::find(std::uint64_t key, std::uint64_t hash) const noexcept {
    const std::uint32_t index = find_slot(key, hash);
    return index == header_.slots ? nullptr : heap() + position(slots()[index]);
}

std::uint32_t Page::make_slot(std::uint64_t hash, const std::byte* record) const noexcept {
    const auto at = static_cast<std::uint32_t>((record - heap()) / 4 + 1);
    return (at << 8U) | tag_of(hash);
}

void Page::insert_slot(std::uint64_t hash, const std::byte* record) noexcept {
    std::uint32_t index = first_slot(hash);
    while (slots()[index] != 0) {
        index = index + 1 == header_.slots ? 0 : index + 1;
    }
    slots()[index] = make_slot(hash, record);
    ++header_.keys;
}

std::byte* Page::take(std::size_t size) noexcept {
    std::byte* const at = heap() + header_.used;
    header_.used += static_cast<std::uint32_t>(size);
    return at;
}

void Page::adopt(Counter counter, const std::byte* record) noexcept {
    const std::size_t size = counter.size();
    std::byte* const at = take(size);
    std::memcpy(at, record, size);
    insert_slot(hash_key(counter.key(), header_.seed), at);
}

void Page::make_writable(PageRef& page) {
    if (page->is_unique()) {
        page->set_stored_id(0);
        return;
    }
    PageRef copy(allocate(page->header_));
    std::memcpy(copy->slots(), page->slots(), page->header_.slots * sizeof(std::uint32_t));
    std::memcpy(copy->heap(), page->heap(), page->header_.used);
    page = std::move(copy);
}

void Page::make_room(PageRef& page, std::size_t extra, bool for_new_key) {
    const Header& header = page->header_;
    const std::size_t keys = header.keys + (for_new_key ? 1U : 0U);
    if (header.used + extra <= header.capacity && keys * 8 <= std::size_t{header.slots} * 7) {
        make_writable(page);
        return;
    }
    PageRef larger =
        create_for(header.seed, header.depth, header.prefix, keys, header.used - header.garbage + extra);
    for (std::uint32_t i = 0; i < header.slots; ++i) {
        if (const std::uint32_t slot = page->slots()[i]; slot != 0) {
            const std::byte* const record = page->heap() + position(slot);
            larger->adopt(Counter(record), record);
        }
    }
    page = std::move(larger);
}

void Page::insert_key(PageRef& page, std::uint64_t key, std::uint64_t hash, std::span<const Point> points,
                      SeriesTotals& totals) {
    const std::size_t size = counter_encoded_size(points, false);
    make_room(page, size, true);
    std::byte* const record = page->take(size);
    counter_encode(key, points, false, record);
    page->insert_slot(hash, record);
    ++totals.keys;
}

void Page::touch(PageRef& page, std::uint64_t key, std::uint64_t hash, SeriesTotals& totals) {
    if (page->find(key, hash) == nullptr) {
        insert_key(page, key, hash, {}, totals);
    }
}

void Page::change(PageRef& page, std::uint64_t key, std::uint64_t hash, Day day, Change change,
                  std::uint64_t value, SeriesTotals& totals) {
    const std::uint32_t index = page->find_slot(key, hash);
    if (index == page->header_.slots) {
        const Point point{day, change == Change::subtract ? 0 : value};
        insert_key(page, key, hash, std::span(&point, point.value == 0 ? 0 : 1), totals);
        totals.buckets += point.value != 0 ? 1U : 0U;
        totals.total += point.value;
        return;
    }
    make_writable(page);
    std::byte* const record = page->heap() + position(page->slots()[index]);
    if (change == Change::add && counter_try_add(record, day, value)) {
        totals.total += value;
        return;
    }
    const std::size_t size_before = Counter(record).size();
    std::uint64_t old = Counter(record).value(day);
    const std::uint64_t changed = changed_value(old, change, value);
    if (counter_try_set(record, day, changed, old)) {
        page->header_.garbage += static_cast<std::uint32_t>(size_before - Counter(record).size());
    } else {
        rewrite_key(page, key, hash, Point{day, changed});
    }
    totals.buckets += static_cast<std::uint64_t>(changed != 0 ? 1 : 0) - (old != 0 ? 1U : 0U);
    totals.total += changed;
    totals.total -= old;
}

void Page::rewrite_key(PageRef& page, std::uint64_t key, std::uint64_t hash, Point change) {
    std::vector<Point>& points = scratch();
    Counter(page->find(key, hash)).for_each(DayRange{}, [&](Point point) { points.push_back(point); });
    merge(points, change);
    const std::size_t size = counter_encoded_size(points, true);
    make_room(page, size, false);
    const std::uint32_t index = page->find_slot(key, hash);
    const std::byte* const before = page->heap() + position(page->slots()[index]);
    page->header_.garbage += static_cast<std::uint32_t>(Counter(before).size());
    std::byte* const record = page->take(size);
    counter_encode(key, points, true, record);
    page->slots()[index] = page->make_slot(hash, record);
}

bool Page::erase_record(std::byte* record, DayRange range, SeriesTotals& totals) {
    const Counter counter(record);
    std::size_t erased = 0;
    std::uint64_t erased_total = 0;
    counter.for_each(range, [&](Point point) {
        ++erased;
        erased_total += point.value;
    });
    if (erased == 0) {
        return false;
    }
    std::vector<Point>& remaining = scratch();
    if (erased_total != counter.total()) {
        counter.for_each(DayRange{}, [&](Point point) {
            if (point.day < range.from || point.day > range.to) {
                remaining.push_back(point);
            }
        });
    }
    const std::size_t size_before = counter.size();
    counter_encode(counter.key(), remaining, false, record);  // fewer points never need more room
    header_.garbage += static_cast<std::uint32_t>(size_before - Counter(record).size());
    totals.buckets -= erased;
    totals.total -= erased_total;
    return true;
}

bool Page::erase_key(PageRef& page, std::uint64_t key, std::uint64_t hash, DayRange range,
                     SeriesTotals& totals) {
    const std::uint32_t index = page->find_slot(key, hash);
    if (index == page->header_.slots || Counter(page->find(key, hash)).sum(range) == 0) {
        return false;
    }
    make_writable(page);
    return page->erase_record(page->heap() + position(page->slots()[index]), range, totals);
}

bool Page::erase(PageRef& page, DayRange range, SeriesTotals& totals) {
    bool any = false;
    page->for_each([&](Counter counter) { any = any || counter.sum(range) != 0; });
    if (!any) {
        return false;
    }
    make_writable(page);
    for (std::uint32_t i = 0; i < page->header_.slots; ++i) {
        if (const std::uint32_t slot = page->slots()[i]; slot != 0) {
            page->erase_record(page->heap() + position(slot), range, totals);
        }
    }
    return true;
}

void Page::drop_empty_keys(PageRef& page, SeriesTotals& totals) {
    std::size_t kept = 0;
    std::size_t live = 0;
    page->for_each([&](Counter counter) {
        if (counter.form() != Counter::Form::empty) {
            ++kept;
            live += counter.size();
        }
    });
    if (kept == page->header_.keys) {
        return;
    }
    const Header& header = page->header_;
    PageRef smaller = create_for(header.seed, header.depth, header.prefix, kept, live);
    for (std::uint32_t i = 0; i < header.slots; ++i) {
        if (const std::uint32_t slot = page->slots()[i]; slot != 0) {
            const std::byte* const record = page->heap() + position(slot);
            if (Counter(record).form() != Counter::Form::empty) {
                smaller->adopt(Counter(record), record);
            }
        }
    }
    totals.keys -= header.keys - kept;
    page = std::move(smaller);
}

std::pair<PageRef, PageRef> Page::split(const Page& page) {
    const std::uint64_t bit = std::uint64_t{1} << (63U - page.header_.depth);
    std::size_t keys[2] = {0, 0};
    std::size_t live[2] = {0, 0};
    page.for_each([&](Counter counter) {
        const std::size_t side = (hash_key(counter.key(), page.header_.seed) & bit) != 0 ? 1 : 0;
        ++keys[side];
        live[side] += counter.size();
    });
    const unsigned depth = page.header_.depth + 1;
    PageRef sides[2] = {create_for(page.header_.seed, depth, page.header_.prefix, keys[0], live[0]),
                        create_for(page.header_.seed, depth, page.header_.prefix | bit, keys[1], live[1])};
    for (std::uint32_t i = 0; i < page.header_.slots; ++i) {
        if (const std::uint32_t slot = page.slots()[i]; slot != 0) {
            const std::byte* const record = page.heap() + position(slot);
            const std::uint64_t hash = hash_key(Counter(record).key(), page.header_.seed);
            sides[(hash & bit) != 0 ? 1 : 0]->adopt(Counter(record), record);
        }
    }
    return {std::move(sides[0]), std::move(sides[1])};
}

std::string_view Page::image() const noexcept {
    static_assert(sizeof(Header) == 40);
    const std::size_t size = sizeof(Header) + header_.slots * sizeof(std::uint32_t) + header_.used;
    return {reinterpret_cast<const char*>(&header_), size};
}

PageRef Page::from_image(std::string_view image) {
    Header header;
    if (image.size() < sizeof header) {
        throw CorruptionError("page of " + std::to_string(image.size()) + " bytes is too short");
    }
    std::memcpy(&header, image.data(), sizeof header);
    const std::uint64_t size = sizeof header + std::uint64_t{header.slots} * 4 + header.used;
    if (size != image.size() || header.slots == 0 || header.keys >= header.slots || header.depth > 63 ||
        header.garbage > header.used || (header.prefix << header.depth) != 0) {
        throw CorruptionError("page header does not fit its " + std::to_string(image.size()) + " bytes");
    }
    header.capacity = header.used;
    PageRef page(allocate(header));
    const char* const body = image.data() + sizeof header;
    std::memcpy(page->slots(), body, header.slots * sizeof(std::uint32_t));
    std::memcpy(page->heap(), body + header.slots * sizeof(std::uint32_t), header.used);
    page->check_image(image);
    return page;
}

void Page::check_image(std::string_view image) const {
    constexpr std::size_t granule = 4;
    const auto damaged = [&](const std::string& what) {
        return CorruptionError("page of " + std::to_string(image.size()) + " bytes: " + what);
    };
    std::vector<bool> taken(header_.used / granule);  // by records
    std::size_t free = header_.used;
    std::size_t keys = 0;
    for (std::uint32_t i = 0; i < header_.slots; ++i) {
        const std::uint32_t slot = slots()[i];
        if (slot == 0) {
            continue;
        }
        ++keys;
        const std::size_t at = (slot >> 8U) == 0 ? header_.used : position(slot);
        if (at >= header_.used || !Counter(heap() + at).is_sound(header_.used - at)) {
            throw damaged("record " + std::to_string(i) + " is damaged");
        }
        const std::size_t size = Counter(heap() + at).size();
        free -= std::min(free, size);
        for (std::size_t part = at / granule; part < (at + size) / granule; ++part) {
            if (taken[part]) {
                throw damaged("record " + std::to_string(i) + " lies in another one");
            }
            taken[part] = true;
        }
        const std::uint64_t hash = hash_key(Counter(heap() + at).key(), header_.seed);
        const bool belongs = header_.depth == 0 || ((hash ^ header_.prefix) >> (64U - header_.depth)) == 0;
        if (!belongs || tag_of(hash) != (slot & 0xFFU)) {
            throw damaged("key " + std::to_string(Counter(heap() + at).key()) + " does not belong there");
        }
    }
    if (keys != header_.keys || free != header_.garbage) {
        throw damaged("its records are not what its header says");
    }
    // All slots are sound now, and one is free: a search comes to an end.
    for (std::uint32_t i = 0; i < header_.slots; ++i) {
        if (slots()[i] != 0) {
            const std::uint64_t key = Counter(heap() + position(slots()[i])).key();
            if (find_slot(key, hash_key(key, header_.seed)) != i) {
                throw damaged("key " + std::to_string(key) + " is not where it is looked for");
            }
        }
    }
}

}  // namespace karma
