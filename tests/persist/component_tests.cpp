// State components through their interface: each goes through the manifest of a snapshot, a restart and a
// transfer, and one that only this test has does so without a line of its own in what stores and sends it.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include "engine/component_codec.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/record_codec.h"
#include "persist/database.h"
#include "persist/manifest_codec.h"
#include "persist/memory_storage.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// Counts the events, and in a series of its own those with each last digit of their LSN.
class EventCounts final : public Component {
public:
    static constexpr std::string_view name = "test.event_counts";
    static constexpr bool is_needed_by_series = true;

    class View final : public ComponentView {
    public:
        std::uint64_t count = 0;
        std::optional<SeriesView> series;

        Digest digest(const Deadline& deadline) const override {
            Digest digest{count, count};
            if (series) {
                digest += scan_digest(*series, deadline);
            }
            return digest;
        }
        std::shared_ptr<const ComponentView> take_out_series(std::vector<SeriesView>& out) const override {
            if (!series) {
                return nullptr;
            }
            out.push_back(*series);
            auto rest = std::make_shared<View>();
            rest->count = count;
            return rest;
        }
        void write(ContentsWriter& out) const override {
            if (count == 0) {
                return;
            }
            ContentsWriter::Packer& packer = out.next();
            packer.pack_array(2);
            packer.pack(count);
            out.pack_series();
        }
        static View read(ContentsReader& in) {
            View view;
            if (const msgpack::object* const value = in.next()) {
                const auto [count, series] = value->as<std::tuple<std::uint64_t, msgpack::object>>();
                view.count = count;
                in.read_series(series);
            }
            return view;
        }
    };

    ComponentViewRef view() const override {
        auto view = std::make_shared<View>();
        view->count = count_;
        if (count_ != 0) {
            view->series = series_->view();
        }
        return view;
    }
    void restore(const ComponentView& view, const TakeSeries& take_series) override {
        count_ = static_cast<const View&>(view).count;
        if (count_ != 0) {
            series_ = take_series();
            REQUIRE(series_ != nullptr);
        }
    }
    void follow(const Event& event) override {
        ++count_;
        series_->add(event.lsn % 10, some_day, 1);
        series_->set_last_lsn(event.lsn);
    }

private:
    std::uint64_t count_ = 0;
    std::unique_ptr<Series> series_ = std::make_unique<Series>("test.event_counts", 0);
};

DatabaseOptions options_of(bool is_follower = false) {
    DatabaseOptions options;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    options.read_only = is_follower;
    return options;
}

/// Something of everything that a component holds, drawn at random.
void fill_components(Database& database, std::mt19937_64& random) {
    const auto does = [&](const Mutation& body) {
        CHECK_FALSE(std::holds_alternative<Error>(database.call(body)));
    };
    static_cast<void>(database.promote());  // it begins an epoch
    const std::uint64_t streams = random_between(random, 3, 8);
    for (std::uint64_t i = 0; i < streams; ++i) {
        const std::string id = "stream-" + std::to_string(i);
        const std::string series = "staged-" + std::to_string(i);
        const std::vector<mutation::Item> items{{i, some_day, 5},
                                                {random_between(random, 0, 99), some_day, 6}};
        does(mutation::SaveCheckpoint{id, std::nullopt, series});
        does(mutation::BeginStream{id, i % 3 == 0 ? IngestMode::replace_series : IngestMode::add, "day"});
        if (i != 1) does(mutation::AddChunk{id, series, 1, items});
        if (i % 2 == 0) does(mutation::CommitStream{id});
        const Mutation increment = mutation::Increment{"a", i, some_day, 1};
        database.call(KeyedMutation{&increment, id, {}});
    }
    does(mutation::BeginStream{"staged", IngestMode::replace_series, std::nullopt});
    const std::vector<mutation::Item> items{{1, some_day, 5}};
    does(mutation::AddChunk{"staged", "b", 1, items});
}

void take_over(Database& from, Database& to) {
    const auto pin = from.pin_log(0);
    const auto writer = to.write_state(to.idempotency_retention());
    from.read_state(*pin)->read([&](std::string_view piece) { writer->add(piece); });
    writer->install(Replacement());
}

std::string manifest_bytes(const StateView& view) {
    std::vector<SeriesView> views;
    return encode_manifest(manifest_of(view, 1, views));
}

/// Each component of both holds the same.
void check_same_components(const StateView& a, const StateView& b) {
    for (const ComponentKind& kind : component_kinds()) {
        INFO("component ", std::string(kind.name));
        const ComponentView* const one = a.components.find(kind.name);
        const ComponentView* const other = b.components.find(kind.name);
        REQUIRE(one != nullptr);
        REQUIRE(other != nullptr);
        CHECK(one->digest(NoDeadline()) == other->digest(NoDeadline()));
        CHECK(one->history_digest() == other->history_digest());
    }
    CHECK(a.digest(NoDeadline()) == b.digest(NoDeadline()));
}

std::uint64_t count_of(const Database& database) { return database.view().of<EventCounts>().count; }

}  // namespace

TEST_CASE("components: a manifest of version 6 is read, and written again bit for bit") {
    StreamInfo stream;
    stream.id = "open";
    stream.mode = IngestMode::replace_series;
    stream.lsn = 8;
    const std::string info = encode_stream(stream);
    msgpack::sbuffer buffer;
    msgpack::packer packer(buffer);
    // As docs/snapshot-format.md says.
    using SeriesFields = std::tuple<std::string, Lsn, int, int, int, int, int, int, int>;
    packer.pack_array(14);
    packer.pack(6);
    packer.pack(true);
    packer.pack(9);
    packer.pack(1'780'000'000'000);
    packer.pack(std::vector<SeriesFields>{{"a", 9, 1, 2, 0, 3, 1, 200, 100}});
    packer.pack_array(1);
    packer.pack_array(4);
    packer.pack("source");
    packer.pack("offset");
    packer.pack_nil();
    packer.pack(1'780'000'000);
    packer.pack(1'780'000'001);
    packer.pack_array(1);
    packer.pack_array(2);
    packer.pack_bin(static_cast<std::uint32_t>(info.size()));
    packer.pack_bin_body(info.data(), static_cast<std::uint32_t>(info.size()));
    packer.pack(SeriesFields{"b", 9, 4, 5, 0, 6, 2, 300, 150});
    packer.pack(11);                                                          // idempotency records
    packer.pack(12);                                                          // committed streams
    packer.pack(13);                                                          // next page
    packer.pack(std::vector<std::tuple<int, int, Lsn, int>>{{1, 77, 2, 5}});  // epochs
    packer.pack(4);                                                           // first record
    packer.pack(std::tuple(21, 22));
    const std::string bytes(buffer.data(), buffer.size());

    const SnapshotManifest manifest = decode_manifest(3, bytes);
    CHECK(manifest.id == 3);
    CHECK(manifest.full);
    CHECK(manifest.lsn == 9);
    CHECK(manifest.file_unix == 1'780'000'001);
    CHECK(manifest.next_page_id == 13);
    CHECK(manifest.database_id == DatabaseId{21, 22});
    REQUIRE(manifest.series.size() == 1);
    CHECK(manifest.series[0].tree_bytes == 100);
    REQUIRE(manifest.staged.size() == 1);
    CHECK(manifest.staged[0].name == "b");
    CHECK(manifest.staged[0].number == 1);
    REQUIRE(manifest.of<Checkpoints>().checkpoints.size() == 1);
    CHECK(manifest.of<Checkpoints>().checkpoints[0].offset == "offset");
    REQUIRE(manifest.of<IngestStreams>().open.size() == 1);
    CHECK(manifest.of<IngestStreams>().open[0].has_staged);
    CHECK(manifest.of<IngestStreams>().committed_count == 12);
    CHECK(manifest.of<IdempotencyIndex>().record_count == 11);
    CHECK(manifest.of<IdempotencyIndex>().first_record_lsn == 4);
    REQUIRE(manifest.of<EpochHistory>().epochs.size() == 1);
    CHECK(manifest.of<EpochHistory>().epochs[0].node == 5);
    CHECK(encode_manifest(manifest) == bytes);
}

TEST_CASE("components: a manifest that ends before a component was there has nothing of it") {
    msgpack::sbuffer buffer;
    const std::tuple<int, bool, int, std::int64_t, std::vector<int>, std::vector<int>> version_1{
        1, true, 9, 1'780'000'000'000, {}, {}};
    msgpack::pack(buffer, version_1);
    const SnapshotManifest manifest = decode_manifest(1, {buffer.data(), buffer.size()});
    CHECK(manifest.file_unix == 1'780'000'000);
    CHECK_FALSE(manifest.has_page_lists);
    CHECK(manifest.of<EpochHistory>().epochs.empty());
    CHECK(manifest.of<IdempotencyIndex>().first_record_lsn == 0);
    CHECK(manifest.next_page_id == 1);
}

TEST_CASE("components: each goes through a snapshot, a restart and a transfer unchanged") {
    std::mt19937_64 random = random_engine("components");
    MemoryStorage storage;
    auto database = Database::open(options_of(true), storage);
    fill_components(*database, random);
    const StateView before = database->view();
    for (const ComponentKind& kind : component_kinds()) {
        INFO("component ", std::string(kind.name));
        const ComponentView& view = *before.components.find(kind.name);
        // The test makes something of each of them.
        CHECK_FALSE((kind.name != IdempotencyIndex::name && view.digest(NoDeadline()) == Digest() &&
                     view.history_digest() == Digest()));
    }
    CHECK(before.of<IdempotencyIndex>().record_count != 0);
    const std::string manifest = manifest_bytes(before);
    CHECK(encode_manifest(decode_manifest(0, manifest)) == manifest);

    database->save_snapshot();
    database.reset();
    database = Database::open(options_of(true), storage);
    check_same_components(before, database->view());

    MemoryStorage follower_storage;
    auto follower = Database::open(options_of(true), follower_storage);
    take_over(*database, *follower);
    check_same_components(before, follower->view());
    follower.reset();
    follower = Database::open(options_of(true), follower_storage);
    check_same_components(before, follower->view());
}

TEST_CASE("components: one that was only registered goes wherever the state goes") {
    std::mt19937_64 random = random_engine("components: one that was only registered");
    MemoryStorage storage;
    MemoryStorage follower_storage;
    std::string manifest;
    {
        const ExtraComponent registered(component_kind<EventCounts>());
        auto database = Database::open(options_of(true), storage);
        const Digest empty = database->digest();
        fill_components(*database, random);
        CHECK_FALSE(database->digest() == empty);
        CHECK(count_of(*database) == database->last_lsn());

        // What a snapshot holds, and what the log holds behind it.
        database->save_snapshot();
        database->call(Mutation(mutation::Increment{"a", 1, some_day, 1}));
        const StateView before = database->view();
        manifest = manifest_bytes(before);
        database.reset();
        database = Database::open(options_of(true), storage);
        CHECK(count_of(*database) == before.lsn);
        check_same_components(before, database->view());
        CHECK_FALSE(std::holds_alternative<Error>(database->call(query::VerifySnapshots{})));

        auto follower = Database::open(options_of(true), follower_storage);
        take_over(*database, *follower);
        check_same_components(before, follower->view());
        CHECK(count_of(*follower) == before.lsn);
        follower.reset();
        follower = Database::open(options_of(true), follower_storage);
        check_same_components(before, follower->view());
    }
    // A program that does not know it must not go on as if there was nothing of it.
    const std::string expected =
        "snapshot manifest 5 is damaged: it holds \"test.event_counts\", which this program does not know";
    CHECK_THROWS_WITH_AS(static_cast<void>(decode_manifest(5, manifest)), expected.c_str(), CorruptionError);
}

TEST_CASE("components: one that holds nothing leaves manifests as programs without it read them") {
    MemoryStorage storage;
    const std::string without = manifest_bytes(Database::open(options_of(), storage)->view());
    const ExtraComponent registered(component_kind<EventCounts>());
    MemoryStorage other_storage;
    const auto other = Database::open(options_of(), other_storage);
    CHECK(manifest_bytes(other->view()) == without);
}

}  // namespace karma::test
