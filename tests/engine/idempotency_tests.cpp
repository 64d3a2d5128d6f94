#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/idempotency.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

IdempotencyIndex::Record record(std::uint64_t key, Lsn lsn, std::uint32_t created) {
    IdempotencyIndex::Record made;
    made.key = hash_idempotency_key(std::to_string(key), 7);
    made.lsn = lsn;
    made.created_unix = created;
    made.first_count = static_cast<std::uint32_t>(key);
    made.fingerprint = {key * 3, key * 5};
    return made;
}

/// The index in the plainest way: records by LSN.
class PlainIndex {
public:
    explicit PlainIndex(IdempotencyRetention retention) : retention_(retention) {}

    std::optional<Lsn> find(std::uint64_t key, std::int64_t now) const {
        const auto at = std::find_if(records_.rbegin(), records_.rend(),
                                     [&](const auto& entry) { return entry.second.key == key; });
        if (at == records_.rend()) {
            return std::nullopt;
        }
        const bool expired = retention_.age_max_s != 0 && at->second.created + retention_.age_max_s <= now;
        return expired ? std::nullopt : std::optional(at->first);
    }
    void add(std::uint64_t key, Lsn lsn, std::uint32_t created) {
        const std::uint32_t last = records_.empty() ? 0 : records_.rbegin()->second.created;
        records_[lsn] = {key, std::max(last, created)};
        while (records_.size() > retention_.records_max) {
            forget_first();
        }
    }
    std::uint64_t prune(std::int64_t before, std::optional<std::uint64_t> limit) {
        std::uint64_t pruned = 0;
        while (!records_.empty() && std::int64_t{records_.begin()->second.created} < before &&
               (!limit || pruned < *limit)) {
            forget_first();
            ++pruned;
        }
        return pruned;
    }
    void expire(std::int64_t now) {
        if (retention_.age_max_s != 0) {
            prune(now - retention_.age_max_s + 1, std::nullopt);
        }
    }
    // Of an index that was never given any other records than those that are young enough.
    RecordsDigest digest(std::int64_t now) const {
        IdempotencyIndex others({1'000'000, 0});
        for (const auto& [lsn, plain] : records_) {
            if (retention_.age_max_s == 0 || plain.created + retention_.age_max_s > now) {
                others.add(record(plain.key, lsn, plain.created));
            }
        }
        return others.digest(now);
    }
    std::size_t size() const { return records_.size(); }
    Lsn first_live_lsn() const { return first_live_lsn_; }

private:
    struct Plain {
        std::uint64_t key = 0;
        std::uint32_t created = 0;
    };

    void forget_first() {
        first_live_lsn_ = records_.begin()->first + 1;
        records_.erase(records_.begin());
    }

    IdempotencyRetention retention_;
    std::map<Lsn, Plain> records_;
    Lsn first_live_lsn_ = 0;
};

}  // namespace

TEST_CASE("idempotency index: agrees with a plain one under random use") {
    std::mt19937_64 random = test::random_engine("idempotency index");
    for (const IdempotencyRetention retention :
         {IdempotencyRetention{1'000'000, 0}, IdempotencyRetention{50, 0}, IdempotencyRetention{3'000, 40},
          IdempotencyRetention{1, 5}}) {
        IdempotencyIndex index(retention);
        PlainIndex plain(retention);
        std::int64_t now = 1'000;
        for (Lsn lsn = 1; lsn <= test::scaled(6'000); ++lsn) {
            const std::uint64_t key = random_between(random, 0, 3'000);
            now += random_between(random, 0, 20) == 0 ? 1 : 0;
            const IdempotencyIndex::Record* const found = index.find(record(key, 0, 0).key, now);
            const std::optional<Lsn> expected = plain.find(key, now);
            REQUIRE((found != nullptr) == expected.has_value());
            if (found != nullptr) {
                REQUIRE(found->lsn == *expected);
                REQUIRE(found->first_count == key);
            } else {
                const auto created =
                    static_cast<std::uint32_t>(now - static_cast<std::int64_t>(random_between(random, 0, 3)));
                index.add(record(key, lsn, created));
                plain.add(key, lsn, created);
            }
            switch (random_between(random, 0, 400)) {
                case 0: {
                    const auto before = now - static_cast<std::int64_t>(random_between(random, 0, 100));
                    const std::uint64_t limit = random_between(random, 1, 200);
                    const auto given = limit > 100 ? std::optional(limit) : std::nullopt;
                    REQUIRE(index.prune(before, given) == plain.prune(before, given));
                    break;
                }
                case 1:
                    index.expire(now);
                    plain.expire(now);
                    break;
                case 2: index.sweep(random_between(random, 0, 1'000)); break;
                default: break;
            }
            REQUIRE(index.size() == plain.size());
            REQUIRE(index.first_live_lsn() == plain.first_live_lsn());
            if (lsn % 37 == 0) {
                REQUIRE(index.digest(now) == plain.digest(now));
            }
        }
    }
}

TEST_CASE("idempotency index: the digest tells records apart, and forgets no sooner or later than it says") {
    const IdempotencyRetention retention{10'000, 60};
    IdempotencyIndex here(retention);
    IdempotencyIndex there(retention);
    for (Lsn lsn = 1; lsn <= 1'000; ++lsn) {
        here.add(record(lsn, lsn, static_cast<std::uint32_t>(lsn)));
        there.add(record(lsn, lsn, static_cast<std::uint32_t>(lsn)));
    }
    CHECK(here.digest(1'000) == there.digest(1'000));
    CHECK(here.digest(1'000).count == 60);
    here.expire(1'000);  // one of them has done it already
    while (here.sweep(100)) {}
    CHECK(here.digest(1'000) == there.digest(1'000));
    CHECK(here.digest(1'030).count == 30);
    CHECK(here.digest(1'030) == there.digest(1'030));

    const auto differs = [&](const auto& change) {
        IdempotencyIndex one(retention);
        IdempotencyIndex other(retention);
        IdempotencyIndex::Record changed = record(1, 1, 1'000);
        one.add(changed);
        change(changed);
        other.add(changed);
        return !(one.digest(1'000) == other.digest(1'000));
    };
    CHECK_FALSE(differs([](auto&) {}));
    CHECK_FALSE(differs([](auto& changed) { changed.key = hash_idempotency_key("1", 8); }));
    CHECK(differs([](auto& changed) { changed.lsn = 2; }));
    CHECK(differs([](auto& changed) { ++changed.fingerprint[0]; }));
    CHECK(differs([](auto& changed) { ++changed.fingerprint[1]; }));
    CHECK(differs([](auto& changed) { ++changed.first_count; }));
    CHECK(differs([](auto& changed) { ++changed.second_count; }));
}

TEST_CASE("idempotency index: the memory of forgotten records is given back") {
    IdempotencyIndex index({1'000'000, 0});
    for (Lsn lsn = 1; lsn <= 20'000; ++lsn) {
        index.add(record(lsn, lsn, 100));
    }
    const std::size_t full = index.bytes();
    CHECK(full / 20'000 < 100);
    CHECK(index.prune(101, std::nullopt) == 20'000);
    CHECK(index.forgotten() == 20'000);
    CHECK(index.size() == 0);
    while (index.sweep(1'000)) {}
    CHECK(index.bytes() < full / 2);
    CHECK(index.find(record(5, 0, 0).key, 0) == nullptr);
    index.add(record(5, 20'001, 100));
    CHECK(index.find(record(5, 0, 0).key, 0)->lsn == 20'001);
}

TEST_CASE("idempotency index: a steady stream of new keys keeps its size") {
    IdempotencyIndex index({1'000, 0});
    std::size_t bytes = 0;
    for (Lsn lsn = 1; lsn <= 200'000; ++lsn) {
        index.add(record(lsn, lsn, 100));
        if (lsn == 20'000) {
            bytes = index.bytes();
        }
    }
    CHECK(index.size() == 1'000);
    CHECK(index.bytes() <= bytes * 2);
}

TEST_CASE("idempotency index: an older record of a key that is added twice does not come back") {
    IdempotencyIndex index({3, 0});
    index.add(record(1, 1, 100));
    index.add(record(1, 2, 100));  // as from storage that still has the forgotten first one
    CHECK(index.find(record(1, 0, 0).key, 0)->lsn == 2);
    index.add(record(2, 3, 100));
    index.add(record(3, 4, 100));  // the first one is beyond the limit
    CHECK(index.find(record(1, 0, 0).key, 0)->lsn == 2);
    index.add(record(4, 5, 100));
    CHECK(index.find(record(1, 0, 0).key, 0) == nullptr);
}

}  // namespace karma::test
