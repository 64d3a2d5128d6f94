// How much memory a point takes, as the engine accounts for it and as the allocator does. Prints a Markdown
// table; with KEYS DAYS one JSON object about so many keys with so many days each.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <malloc.h>
#include <string>

#include "engine/idempotency.h"
#include "engine/series.h"

namespace {

using karma::Day;
using karma::Series;

constexpr Day first_day = 738'500;

struct Work {
    const char* name;
    std::function<void(Series&)> load;
};

std::uint64_t draw(std::uint64_t& state) { return karma::mix64(++state); }

struct Dense {
    std::uint64_t keys = 50'000;
    Day days = 356;
};

void load_dense(Series& series, bool by_day, const Dense& size = {}) {
    const auto [keys, days] = size;
    std::uint64_t state = 0;
    const auto add = [&](std::uint64_t key, Day day) {
        series.add(key, first_day + day, draw(state) % 60'000 + 1);
    };
    if (by_day) {
        for (Day day = 0; day < days; ++day) {
            for (std::uint64_t key = 0; key < keys; ++key) {
                add(key, day);
            }
        }
    } else {
        for (std::uint64_t key = 0; key < keys; ++key) {
            for (Day day = 0; day < days; ++day) {
                add(key, day);
            }
        }
    }
}

void load_sparse(Series& series) {
    std::uint64_t state = 0;
    for (std::uint64_t key = 0; key < 50'000; ++key) {
        for (int i = 0; i < 20; ++i) {
            series.add(key, first_day + static_cast<Day>(draw(state) % 1'095), draw(state) % 9 + 1);
        }
    }
}

void load_single(Series& series) {
    std::uint64_t state = 0;
    for (std::uint64_t key = 0; key < 1'000'000; ++key) {
        series.add(key, first_day + static_cast<Day>(draw(state) % 365), draw(state) % 1'000 + 1);
    }
}

void load_large_values(Series& series) {
    for (std::uint64_t key = 0; key < 10'000; ++key) {
        for (Day day = 0; day < 356; ++day) {
            series.add(key, first_day + day, std::numeric_limits<std::uint64_t>::max() / 357);
        }
    }
}

struct Taken {
    double points;
    double accounted;  // bytes a point
    double allocated;
};

Taken taken_by(const std::function<void(Series&)>& load) {
    const std::size_t before = ::mallinfo2().uordblks;
    Series series("links", 0x9e3779b97f4a7c15ULL);
    load(series);
    const std::size_t allocated = ::mallinfo2().uordblks - before;
    const auto points = static_cast<double>(series.totals().buckets);
    return {points, static_cast<double>(series.bytes()) / points, static_cast<double>(allocated) / points};
}

void measure(const Work& work) {
    const Taken taken = taken_by(work.load);
    std::printf("| %s | %.0f | %.2f | %.2f |\n", work.name, taken.points, taken.accounted, taken.allocated);
}

/// The records of idempotency keys, at the limit and after twice as many.
void measure_records(std::uint64_t added) {
    constexpr std::uint64_t records_max = 1'000'000;
    const std::size_t before = ::mallinfo2().uordblks;
    karma::IdempotencyIndex index({records_max, 0});
    for (std::uint64_t i = 1; i <= added; ++i) {
        karma::IdempotencyIndex::Record record;
        record.key = karma::hash_idempotency_key("click-" + std::to_string(i), 1);
        record.lsn = i;
        index.add(record);
    }
    const std::size_t allocated = ::mallinfo2().uordblks - before;
    const auto records = static_cast<double>(index.size());
    std::printf("| %.0f records, %llu added | %.1f | %.1f |\n", records,
                static_cast<unsigned long long>(added), static_cast<double>(index.bytes()) / records,
                static_cast<double>(allocated) / records);
}

bool read_number(const char* text, std::uint64_t& number) {
    const char* const end = text + std::strlen(text);
    return std::from_chars(text, end, number).ptr == end && number >= 1 && number <= 1'000'000'000;
}

int measure_size(const char* keys_text, const char* days_text) {
    std::uint64_t keys = 0;
    std::uint64_t days = 0;
    if (!read_number(keys_text, keys) || !read_number(days_text, days) || days > 100'000) {
        std::fputs("karma_memory: KEYS and DAYS must be numbers from 1\n", stderr);
        return 2;
    }
    const Taken taken = taken_by([&](Series& series) {
        load_dense(series, true, {keys, static_cast<Day>(days)});
    });
    std::printf("{\"points\":%.0f,\"bytes_a_point_accounted\":%.4f,\"bytes_a_point_allocated\":%.4f}\n",
                taken.points, taken.accounted, taken.allocated);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    ::mallopt(M_MMAP_THRESHOLD, 1 << 30);  // so that the allocator counts everything in one number
    if (argc == 3) {
        return measure_size(argv[1], argv[2]);
    }
    if (argc != 1) {
        std::fputs("usage: karma_memory [KEYS DAYS]\n", stderr);
        return 2;
    }
    std::puts("| work | points | bytes a point, accounted | bytes a point, allocated |");
    std::puts("| --- | ---: | ---: | ---: |");
    measure({"50,000 keys x 356 days, values to 60,000, loaded day by day",
             [](Series& s) { load_dense(s, true); }});
    measure({"the same, loaded key by key", [](Series& s) { load_dense(s, false); }});
    measure({"50,000 keys x 20 random days of 3 years, values to 9", load_sparse});
    measure({"1,000,000 keys x 1 day, values to 1,000", load_single});
    measure({"10,000 keys x 356 days, values near 2^64 / 357", load_large_values});
    std::puts("\n| idempotency keys | bytes a record, accounted | bytes a record, allocated |");
    std::puts("| --- | ---: | ---: |");
    measure_records(1'000'000);
    measure_records(2'000'000);
}
