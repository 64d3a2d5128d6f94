#include "tests/persist/fault_client.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "tests/persist/refusal.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// A request and what it borrows.
class Asked {
public:
    explicit Asked(const Order& order) : body_(order.body()), request_(body_) {
        if (!order.idempotency_key.empty()) {
            request_ = KeyedMutation{&body_, order.idempotency_key, {}};
        }
    }
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;
    const Request& request() const { return request_; }

private:
    Mutation body_;
    Request request_;
};

bool is_equal(const Reply& left, const Reply& right) {
    if (left.index() != right.index()) {
        return false;
    }
    if (const auto* const number = std::get_if<reply::Number>(&left)) {
        return number->value == std::get<reply::Number>(right).value;
    }
    if (const auto* const added = std::get_if<reply::Added>(&left)) {
        return added->total == std::get<reply::Added>(right).total;
    }
    if (const auto* const refused = std::get_if<Error>(&left)) {
        return refused->code == std::get<Error>(right).code;
    }
    return true;
}

bool is_internal_error(const Reply& reply) {
    const auto* const refused = std::get_if<Error>(&reply);
    return refused != nullptr && refused->code == ErrorCode::internal_error;
}

}  // namespace

Mutation Order::body() const {
    const auto day = static_cast<Day>(some_day + number % 40);
    switch (kind) {
        case Kind::increment: return mutation::Increment{series, number % 300, day, 1 + number % 1'000};
        case Kind::decrement: return mutation::Decrement{series, number % 300, day, 1 + number % 100};
        case Kind::batch_add: return mutation::BatchAdd{series, items};
        case Kind::batch_set: return mutation::BatchSet{series, items};
        case Kind::reset: return mutation::ResetCounter{series, number % 300};
        case Kind::reset_series: return mutation::ResetSeries{series};
        case Kind::delete_range: return mutation::DeleteSeriesRange{series, {day, day + 1}};
        case Kind::drop: return mutation::DropSeries{series};
        case Kind::checkpoint: return mutation::SaveCheckpoint{series, stream, std::nullopt};
        case Kind::begin_stream:
            return mutation::BeginStream{stream, static_cast<IngestMode>(number % 3), std::nullopt};
        case Kind::chunk: return mutation::AddChunk{stream, series, 1 + number % 3, items};
        case Kind::commit_stream: return mutation::CommitStream{stream};
        case Kind::abort_stream: return mutation::AbortStream{stream};
        case Kind::prune_streams: return mutation::PruneStreams{time_ms / 1000, 1 + number % 5};
        case Kind::prune: return mutation::PruneRecords{time_ms / 1000 - 1, 1 + number % 5};
    }
    return {};
}

// ---- the machine

Database& Machine::open(const DatabaseOptions& options) {
    close();
    RocksdbStorage::Options with;
    with.path = std::string(FaultyFileSystem::root) + "/karma.db";
    with.log_segment_bytes = options.wal_segment_bytes;
    with.env = env_.get();
    storage_ = std::make_unique<RocksdbStorage>(with);
    owned_ = Database::open(options, *storage_);
    database_ = owned_.get();
    return *owned_;
}

void Machine::close() {
    database_ = nullptr;
    owned_.reset();
    storage_.reset();
}

// ---- the client

FaultClient::FaultClient(std::uint64_t seed) : random_(seed), model_(std::make_unique<Engine>(seed, sink_)) {}

DatabaseOptions FaultClient::options() {
    DatabaseOptions options;
    options.wal_segment_bytes = std::uint64_t{8'000} << random_between(random_, 0, 8);
    options.wal_batch_size = std::uint32_t{1} << random_between(random_, 0, 10);
    options.snapshots_retained = static_cast<unsigned>(random_between(random_, 1, 3));
    options.event_retention_s = 0;
    options.event_retention_bytes = one_in(random_, 2) ? random_between(random_, 1, 50'000) : 0;
    options.clock_ms = [this] { return now_ms_.load(); };
    options.snapshot_interval_s = 0;  // the clock is moved by hours
    return options;
}

Order FaultClient::some_order() {
    Order order;
    order.number = random_();
    order.series = "s" + std::to_string(random_between(random_, 0, 3));
    order.stream = "stream-" + std::to_string(random_between(random_, 0, 7));
    order.time_ms = now_ms_;
    const std::uint64_t chance = random_between(random_, 0, 99);
    using Kind = Order::Kind;
    constexpr std::pair<std::uint64_t, Kind> kinds[] = {
        {50, Kind::increment},    {56, Kind::decrement},     {66, Kind::batch_add},
        {72, Kind::batch_set},    {76, Kind::reset},         {77, Kind::reset_series},
        {78, Kind::delete_range}, {79, Kind::drop},          {82, Kind::checkpoint},
        {87, Kind::begin_stream}, {94, Kind::chunk},         {96, Kind::commit_stream},
        {97, Kind::abort_stream}, {98, Kind::prune_streams}, {99, Kind::prune},
    };
    for (const auto& [below, kind] : kinds) {
        order.kind = kind;
        if (chance < below) break;
    }
    const bool is_bulk = one_in(random_, 20);
    const std::uint64_t count = random_between(random_, 1, is_bulk ? 2'000 : 10);
    for (std::uint64_t i = 0; i < count; ++i) {
        order.items.push_back({random_between(random_, 0, is_bulk ? 5'000 : 300),
                               static_cast<Day>(some_day + random_between(random_, 0, 39)),
                               random_between(random_, 1, 500)});
    }
    if (order.kind <= Kind::delete_range && one_in(random_, 3)) {
        order.idempotency_key = "key-" + std::to_string(++names_);
    }
    return order;
}

std::pair<Outcome, bool> FaultClient::execute_in_model(const Order& order) {
    const Lsn before = model_->last_lsn();
    const Asked asked(order);
    Outcome outcome;
    if (Preparer::concerns(asked.request())) {
        const PreparedMutation prepared =
            preparer_.prepare(asked.request(), model_->hash_seed(), order.time_ms);
        outcome = model_->execute(asked.request(), prepared, order.time_ms);
    } else {
        outcome = model_->execute(asked.request(), order.time_ms);
    }
    model_->take_deferred();
    return {std::move(outcome), model_->last_lsn() != before};
}

void FaultClient::send(Database& database, std::size_t count) {
    std::vector<Order> orders;
    std::vector<std::unique_ptr<Asked>> asked;
    std::vector<Request> requests;
    for (std::size_t i = 0; i < count; ++i) {
        orders.push_back(some_order());
    }
    for (const Order& order : orders) {
        asked.push_back(std::make_unique<Asked>(order));
        requests.push_back(asked.back()->request());
    }
    std::vector<Outcome> outcomes(count);
    database.execute(requests, outcomes);
    for (std::size_t i = 0; i < count; ++i) {
        const Reply& reply = std::get<Reply>(outcomes[i].result);
        if (is_internal_error(reply)) {
            REQUIRE(database.has_failed());
            break;
        }
        const auto [expected, is_event] = execute_in_model(orders[i]);
        CHECK(is_equal(reply, std::get<Reply>(expected.result)));
        CHECK(outcomes[i].deduplication == expected.deduplication);
        if (is_event) {
            accepted_.emplace_back(model_->last_lsn(), orders[i]);
        }
    }
    // Its reply shows everything, so it comes when all is acknowledged.
    const Lsn sent = model_->last_lsn();
    if (!is_internal_error(database.call(query::SnapshotInfo{}))) {
        acked_ = sent;
    }
}

void FaultClient::ask(Database& database) {
    const std::string series = "s" + std::to_string(random_between(random_, 0, 3));
    const query::Sum sum{series, random_between(random_, 0, 300), std::nullopt};
    const Reply reply = database.call(sum);
    if (is_internal_error(reply)) {
        REQUIRE(database.has_failed());
        return;
    }
    CHECK(is_equal(reply, std::get<Reply>(model_->execute(sum, now_ms_).result)));
}

/// Nothing fails but for a failure of the disk, which the message names, or one that came before it.
void check_is_of_disk(const std::string& message) {
    CAPTURE(message);
    CHECK((contains(message, "made up") || contains(message, "the machine is gone") ||
           contains(message, "refused after an earlier failure")));
}

/// What fails there is seen when the log is written next, and may be tried again.
void FaultClient::do_housework(Database& database) {
    try {
        switch (random_between(random_, 0, 3)) {
            case 0: database.save_snapshot(); break;
            case 1: database.call(control::SaveSnapshot{"s1"}); break;
            default: database.apply_retention(); break;
        }
    } catch (const StorageError& failure) {
        check_is_of_disk(failure.what());
    } catch (const RequestError& refused) {
        CHECK(refused.code() == ErrorCode::internal_error);
        check_is_of_disk(refused.what());
    }
}

void FaultClient::work(Database& database, std::size_t steps) {
    REQUIRE(database.wait_until_ready());
    for (std::size_t step = 0; step < steps && !database.has_failed(); ++step) {
        now_ms_ += 10;
        switch (random_between(random_, 0, 9)) {
            case 0: do_housework(database); break;
            case 1:
            case 2: ask(database); break;
            case 3: send(database, random_between(random_, 1, 60)); break;
            default: send(database, random_between(random_, 1, 5)); break;
        }
    }
}

void FaultClient::check_failed(Database& database) {
    REQUIRE(database.has_failed());
    const Lsn durable = database.durable_lsn();
    for (int i = 0; i < 3; ++i) {
        const Order order = some_order();
        const Asked asked(order);
        CHECK(is_internal_error(database.call(asked.request())));
    }
    CHECK(database.durable_lsn() == durable);
    const Reply health = database.call(query::Health{});
    CHECK(std::get<reply::Health>(health).status.starts_with("failed: "));
}

void FaultClient::forget_after(Lsn lsn) {
    while (!accepted_.empty() && accepted_.back().first > lsn) {
        lost_.push_back(std::move(accepted_.back().second));
        accepted_.pop_back();
    }
    model_ = std::make_unique<Engine>(1, sink_);
    for (const auto& entry : accepted_) {
        execute_in_model(entry.second);
    }
    REQUIRE(model_->last_lsn() == lsn);
}

void FaultClient::check_restarted(Database& database, Lsn acked) {
    REQUIRE(database.wait_until_ready());
    const Lsn lsn = database.last_lsn();
    REQUIRE(lsn >= acked);
    REQUIRE(lsn <= model_->last_lsn());
    forget_after(lsn);
    CHECK(database.digest() == digest());
    CHECK(std::get<reply::Health>(database.call(query::Health{})).status == "ok");
    const Reply verified = database.call(query::VerifySnapshots{});
    CHECK(std::holds_alternative<reply::Verified>(verified));
    acked_ = lsn;
}

bool FaultClient::send_one(Database& database, const Order& order, Deduplication expected) {
    const Asked asked(order);
    Outcome outcome;
    database.execute(std::span(&asked.request(), 1), std::span(&outcome, 1));
    if (is_internal_error(std::get<Reply>(outcome.result))) {
        REQUIRE(database.has_failed());
        return true;
    }
    const auto [in_model, is_event] = execute_in_model(order);
    if (is_event) {
        accepted_.emplace_back(model_->last_lsn(), order);
    }
    CHECK(is_equal(std::get<Reply>(outcome.result), std::get<Reply>(in_model.result)));
    CHECK(outcome.deduplication == in_model.deduplication);
    return outcome.deduplication == expected;
}

void FaultClient::send_again(Database& database) {
    REQUIRE(database.wait_until_ready());
    // Records that were pruned are no more, here and in the model.
    constexpr std::size_t repeats_max = 40;
    std::vector<Order> kept;
    for (auto entry = accepted_.rbegin(); entry != accepted_.rend() && kept.size() < repeats_max; ++entry) {
        if (!entry->second.idempotency_key.empty()) kept.push_back(entry->second);
    }
    const bool was_pruned = std::ranges::any_of(
        accepted_, [](const auto& entry) { return entry.second.kind == Order::Kind::prune; });
    for (Order& order : kept) {
        order.time_ms = now_ms_;
        CHECK((send_one(database, order, Deduplication::repeat) || was_pruned));
    }
    for (Order& order : std::exchange(lost_, {})) {
        if (!order.idempotency_key.empty()) {
            order.time_ms = now_ms_;
            send_one(database, order, Deduplication::first);
        }
    }
    if (!is_internal_error(database.call(query::SnapshotInfo{}))) {
        acked_ = model_->last_lsn();
    }
    CHECK(database.digest() == digest());
}

}  // namespace karma::test
