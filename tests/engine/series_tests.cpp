#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/scan.h"
#include "engine/series.h"
#include "tests/engine/model.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// Random changes of one series, beside the model.
class SeriesWalk {
public:
    SeriesWalk(std::string_view purpose, std::uint64_t seed, std::uint64_t keys, Day first_day, Day days)
        : engine_(test::random_engine(purpose)),
          series_("s", seed),
          keys_(keys),
          first_day_(first_day),
          days_(days) {}

    void step() {
        const std::uint64_t key = draw(0, keys_ - 1);
        const Day day = first_day_ + static_cast<Day>(draw(0, days_ - 1));
        switch (draw(0, 19)) {
            case 0: erase_key(key, range()); break;
            case 1: subtract(key, day, value()); break;
            case 2:
            case 3: set(key, day, draw(0, 3) == 0 ? 0 : value()); break;
            case 4:
                if (draw(0, 60) == 0) {
                    erase_all(range());
                }
                break;
            case 5:
                if (draw(0, 60) == 0) {
                    series_.drop_empty_keys();
                    std::erase_if(model_, [](const auto& entry) { return entry.second.empty(); });
                }
                break;
            default: add(key, day, value()); break;
        }
    }

    void check() const {
        REQUIRE(test::contents(series_.view()) == model_);
        REQUIRE(series_.totals() == test::totals(model_));
    }

    const Series& series() const { return series_; }
    const Model::Keys& model() const { return model_; }
    std::mt19937_64& engine() { return engine_; }

    DayRange range() {
        const Day from = first_day_ + static_cast<Day>(draw(0, days_ - 1));
        return {from, std::min<Day>(max_day, from + static_cast<Day>(draw(0, days_)))};
    }

private:
    std::uint64_t draw(std::uint64_t low, std::uint64_t high) { return random_between(engine_, low, high); }

    std::uint64_t value() {
        const std::uint64_t bits = draw(0, 9) == 0 ? draw(1, 58) : draw(1, 12);
        return draw(1, (std::uint64_t{1} << bits) - 1);
    }

    void add(std::uint64_t key, Day day, std::uint64_t value) {
        Model::Buckets& buckets = model_[key];
        if (Model::total(buckets) > std::numeric_limits<std::uint64_t>::max() - value) {
            return;
        }
        series_.add(key, day, value);
        buckets[day] += value;
    }

    void subtract(std::uint64_t key, Day day, std::uint64_t value) {
        series_.subtract(key, day, value);
        Model::Buckets& buckets = model_[key];
        const std::uint64_t old = buckets.contains(day) ? buckets[day] : 0;
        buckets.erase(day);
        if (old > value) {
            buckets[day] = old - value;
        }
    }

    void set(std::uint64_t key, Day day, std::uint64_t value) {
        series_.set(key, day, value);
        Model::Buckets& buckets = model_[key];
        buckets.erase(day);
        if (value != 0) {
            buckets[day] = value;
        }
    }

    void erase_key(std::uint64_t key, DayRange range) {
        const auto found = model_.find(key);
        const bool any = found != model_.end() && Model::erase(found->second, range) != 0;
        REQUIRE(series_.erase(key, range) == any);
    }

    void erase_all(DayRange range) {
        series_.erase(range);
        for (auto& entry : model_) {
            Model::erase(entry.second, range);
        }
    }

    std::mt19937_64 engine_;
    Series series_;
    Model::Keys model_;
    std::uint64_t keys_;
    Day first_day_;
    Day days_;
};

void walk(std::string_view purpose, std::uint64_t keys, Day first_day, Day days, std::size_t steps) {
    SeriesWalk walk(purpose, 12345, keys, first_day, days);
    for (std::size_t i = 0; i < steps; ++i) {
        walk.step();
        if (i % (steps / 20) == 0) {
            walk.check();
        }
    }
    walk.check();
}

}  // namespace

TEST_CASE("series: agrees with the model, dense days") {
    walk("dense", 40, 730'000, 60, test::scaled(60'000));
}
TEST_CASE("series: agrees with the model, sparse days") {
    walk("sparse", 60, 700'000, 40'000, test::scaled(60'000));
}
TEST_CASE("series: agrees with the model, days over the whole calendar") {
    walk("calendar", 20, 0, max_day + 1, test::scaled(30'000));
}
TEST_CASE("series: agrees with the model, many keys") {
    walk("keys", 20'000, 739'000, 30, test::scaled(150'000));
}

TEST_CASE("series: point reads agree with the model") {
    SeriesWalk walk("reads", 99, 200, 739'000, 400);
    for (std::size_t i = 0; i < test::scaled(40'000); ++i) {
        walk.step();
    }
    for (const auto& [key, buckets] : walk.model()) {
        REQUIRE(walk.series().total(key) == Model::total(buckets));
        const DayRange range = walk.range();
        Model::Buckets inside = buckets;
        std::erase_if(inside,
                      [&](const auto& entry) { return entry.first < range.from || entry.first > range.to; });
        REQUIRE(walk.series().sum(key, range) == Model::total(inside));
        for (const auto& [day, value] : inside) {
            REQUIRE(walk.series().value(key, day) == value);
        }
        REQUIRE(walk.series().value(key, 5) == 0);
    }
    CHECK(walk.series().find(1'000'000) == nullptr);
}

TEST_CASE("series: a pinned view never changes") {
    SeriesWalk walk("views", 7, 3'000, 739'000, 50);
    std::vector<std::pair<SeriesView, Model::Keys>> pinned;
    for (std::size_t i = 0; i < test::scaled(60'000); ++i) {
        if (i % 5'000 == 0) {
            pinned.emplace_back(walk.series().view(), walk.model());
        }
        walk.step();
    }
    for (const auto& [view, model] : pinned) {
        REQUIRE(test::contents(view) == model);
        REQUIRE(view.totals() == test::totals(model));
    }
}

TEST_CASE("series: values up to 2^64-1 are kept exactly") {
    Series series("s", 1);
    series.add(largest, max_day, largest);
    CHECK(series.total(largest) == largest);
    series.add(0, 0, largest - 1);
    series.add(0, 5, 1);
    CHECK(series.total(0) == largest);
    CHECK(series.sum(0, {0, 4}) == largest - 1);
    CHECK(series.totals().total == Uint128{largest} * 2);
    series.subtract(0, 0, largest);
    CHECK(series.total(0) == 1);
}

TEST_CASE("series: its pages make the same series again, and nothing else does") {
    SeriesWalk walk("images", 31, 5'000, 739'000, 40);
    for (std::size_t i = 0; i < test::scaled(60'000); ++i) {
        walk.step();
    }
    const SeriesView view = walk.series().view();
    REQUIRE(view.pages().size() > 4);
    std::vector<PageRef> pages;
    for (const PageRef& page : view.pages()) {
        pages.push_back(Page::from_image(page->image()));
    }
    std::reverse(pages.begin(), pages.end());
    Series again = Series::from_pages("s", pages, view.totals(), 9);
    CHECK(test::contents(again.view()) == walk.model());
    CHECK(scan_digest(again.view(), NoDeadline()) == scan_digest(view, NoDeadline()));
    again.add(4, 739'000, 1);  // goes on
    CHECK(again.total(4) == walk.series().total(4) + 1);

    std::vector<PageRef> missing(pages.begin() + 1, pages.end());
    CHECK_THROWS_AS(Series::from_pages("s", missing, view.totals(), 9), CorruptionError);
    std::vector<PageRef> twice = pages;
    twice.back() = twice.front();
    CHECK_THROWS_AS(Series::from_pages("s", twice, view.totals(), 9), CorruptionError);
    SeriesTotals other = view.totals();
    ++other.buckets;
    CHECK_THROWS_AS(Series::from_pages("s", pages, other, 9), CorruptionError);
}

TEST_CASE("page: a damaged image is refused or harmless, never read out of bounds") {
    SeriesWalk walk("damage", 5, 30, 739'000, 40);
    for (int i = 0; i < 600; ++i) {
        walk.step();
    }
    const std::string image(walk.series().view().pages().front()->image());
    std::size_t refused = 0;
    for (std::size_t at = 0; at < image.size(); ++at) {
        std::string damaged = image;
        damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 << (at % 8)));
        try {
            const PageRef page = Page::from_image(damaged);
            std::uint64_t sum = 0;
            page->for_each([&](Counter counter) { sum += counter.total() + counter.buckets(); });
            CHECK(sum != 1);
        } catch (const CorruptionError&) {
            ++refused;
        }
        CHECK_THROWS_AS(Page::from_image(std::string_view(image).substr(0, at)), CorruptionError);
    }
    CHECK(refused > image.size() / 4);
}

namespace {

/// The numbers in front of an image.
struct ImageHead {
    std::uint64_t seed;
    std::uint64_t prefix;
    std::uint32_t slots;
    std::uint32_t keys;
    std::uint32_t capacity;
    std::uint32_t used;
    std::uint32_t garbage;
    std::uint32_t depth;
};

/// An image that somebody has changed with care: what a checksum does not tell.
std::string with_head(std::string image, const std::function<void(ImageHead&)>& change) {
    ImageHead head{};
    std::memcpy(&head, image.data(), sizeof head);
    change(head);
    std::memcpy(image.data(), &head, sizeof head);
    return image;
}

}  // namespace

TEST_CASE("page: an image whose numbers do not agree is refused, not only one that is cut or turned") {
    Series series("s", 5);
    for (std::uint64_t key = 0; key < 20; ++key) {
        for (Day day = 739'000; day < 739'010; ++day) {
            series.add(key, day, key + 1);
        }
    }
    const PageRef page = series.view().pages().front();
    const std::string image(page->image());
    REQUIRE(Page::from_image(image)->keys() == 20);

    // More room said to be free than there is: the next rewriting would write behind the page's end.
    CHECK_THROWS_AS(Page::from_image(with_head(image, [](ImageHead& head) { head.garbage += 64; })),
                    CorruptionError);
    // A prefix that is longer than its page's depth points behind the directory of its series.
    CHECK_THROWS_AS(Page::from_image(with_head(image, [](ImageHead& head) { head.prefix = 1; })),
                    CorruptionError);

    // A key that is twice in the table, or is where no search comes by.
    ImageHead head{};
    std::memcpy(&head, image.data(), sizeof head);
    std::vector<std::uint32_t> slots(head.slots);
    const std::size_t slots_bytes = slots.size() * sizeof slots[0];
    std::memcpy(slots.data(), image.data() + sizeof head, slots_bytes);
    const auto used = std::ranges::find_if(slots, [](std::uint32_t slot) { return slot != 0; });
    std::string twice = with_head(image, [](ImageHead& changed) { ++changed.keys; });
    std::vector<std::uint32_t> changed = slots;
    *std::ranges::find(changed, 0U) = *used;
    std::memcpy(twice.data() + sizeof head, changed.data(), slots_bytes);
    CHECK_THROWS_AS(Page::from_image(twice), CorruptionError);
    std::string lost = image;
    changed = slots;
    std::ranges::reverse(changed);
    std::memcpy(lost.data() + sizeof head, changed.data(), slots_bytes);
    CHECK_THROWS_AS(Page::from_image(lost), CorruptionError);
}

TEST_CASE("series: pages of a depth that they cannot have come to make no directory of that size") {
    std::vector<PageRef> pages;
    for (unsigned depth = 1; depth <= 40; ++depth) {
        pages.push_back(Page::create(1, depth, std::uint64_t{1} << (64U - depth)));
    }
    pages.push_back(Page::create(1, 40, 0));
    CHECK_THROWS_AS(Series::from_pages("s", pages, {}, 1), CorruptionError);
}

}  // namespace karma::test
