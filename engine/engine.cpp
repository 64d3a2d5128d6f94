#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "engine/apply.h"
#include "engine/check.h"
#include "engine/decide.h"
#include "engine/error.h"
#include "engine/querier.h"
#include "engine/resolve.h"

namespace karma {
namespace {

/// The counter that a request is about; without a series where it is about none or several.
struct CounterName {
    std::string_view series;
    std::uint64_t key = 0;
};

CounterName counter_of(const Mutation& body) noexcept {
    if (const auto* const increment = std::get_if<mutation::Increment>(&body)) {
        return {increment->series, increment->key};
    }
    if (const auto* const decrement = std::get_if<mutation::Decrement>(&body)) {
        return {decrement->series, decrement->key};
    }
    return {};
}

CounterName counter_of(const Request& request) noexcept {
    if (const auto* const body = std::get_if<Mutation>(&request)) {
        return counter_of(*body);
    }
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        return counter_of(*keyed->body);
    }
    if (const auto* const sum = std::get_if<query::Sum>(&request)) {
        return {sum->series, sum->key};
    }
    if (const auto* const points = std::get_if<query::Points>(&request)) {
        return {points->series, points->key};
    }
    return {};
}

/// What the index keeps of a record.
IdempotencyIndex::Record index_record(const IdempotencyRecord& record, const KeyHash& key) noexcept {
    constexpr std::int64_t seconds_max = std::numeric_limits<std::uint32_t>::max();
    IdempotencyIndex::Record kept;
    kept.key = key;
    kept.set_fingerprint(record.fingerprint);
    kept.lsn = record.lsn;
    kept.created_unix =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(record.created_at_unix, 0, seconds_max));
    // Counts of keys of one request, which fit: a request has less than 2^30 bytes.
    kept.first_count = static_cast<std::uint32_t>(record.response[0]);
    kept.second_count = static_cast<std::uint32_t>(record.response[1]);
    return kept;
}

}  // namespace

Digest StateView::digest(const Deadline& deadline) const {
    Digest digest;
    for (const SeriesView& view : series) {
        digest += scan_digest(view, deadline);
    }
    digest += digest_beside_series(deadline);
    return digest;
}

Digest StateView::digest_beside_series(const Deadline& deadline) const {
    Digest digest;
    for (const ComponentViews::Entry& component : components) {
        digest += component.view->digest(deadline);
    }
    return digest;
}

Digest StateView::digest_of_history() const {
    Digest digest;
    for (const ComponentViews::Entry& component : components) {
        digest += component.view->history_digest();
    }
    return digest;
}

Engine::Engine(std::uint64_t hash_seed, EventSink& sink, const IdempotencyRetention& retention)
    : hash_seed_(hash_seed), sink_(sink), components_(std::make_unique<Components>()) {
    keys().set_retention(retention);
}

void Engine::prefetch(std::span<const Request> requests) const noexcept {
    // A counter's page, its slot and its record are three places in memory: each is asked for of all requests
    // before the next one of any, so that the waits overlap.
    std::array<Series::Place, prefetch_max> places;
    std::size_t count = 0;
    for (const Request& request : requests.first(std::min(requests.size(), prefetch_max))) {
        const CounterName counter = counter_of(request);
        const Series* const series = counter.series.empty() ? nullptr : find_series(counter.series);
        if (series != nullptr) {
            places[count] = series->place_of(counter.key);
            places[count++].prefetch_page();
        }
    }
    for (const Series::Place& place : std::span(places).first(count)) {
        place.prefetch_slot();
    }
    for (const Series::Place& place : std::span(places).first(count)) {
        place.prefetch_record();
    }
}

Lsn Engine::wait_lsn(std::string_view series) const noexcept {
    const Series* const found = find_series(series);
    return found == nullptr ? catalog_lsn_ : found->last_lsn();
}

Outcome Engine::execute(const Request& request, std::int64_t now_ms) {
    if (Preparer::concerns(request)) {
        return execute(request, preparer_.prepare(request, hash_seed(), now_ms), now_ms);
    }
    return std::visit(
        [&](const auto& body) -> Outcome {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, Mutation>) {
                return execute_mutation(body, now_ms, {}, nullptr);
            } else if constexpr (std::is_invocable_v<Querier, const Body&>) {
                return Querier(*this, now_ms)(body);
            } else {
                return {Reply(Error{ErrorCode::internal_error, "Not a question for the engine"}), 0};
            }
        },
        request);
}

Outcome Engine::execute(const Request& request, const PreparedMutation& prepared, std::int64_t now_ms) {
    if (const auto* const keyed = std::get_if<KeyedMutation>(&request)) {
        return execute_keyed(*keyed, prepared, now_ms);
    }
    return execute_mutation(std::get<Mutation>(request), now_ms, {}, &prepared);
}

Outcome Engine::execute_mutation(const Mutation& command, std::int64_t now_ms, std::string_view key,
                                 Prepared prepared) {
    Event event{last_lsn_ + 1, event_time(now_ms), {}, key};
    if (std::optional<Outcome> answer = decide(*this, command, prepared, now_ms, fact_memory_, event.body)) {
        return std::move(*answer);
    }
    Outcome outcome{record(event, prepared), event.lsn,
                    key.empty() ? Deduplication::no_key : Deduplication::first};
    show_totals(command, now_ms, outcome);
    return outcome;
}

Outcome Engine::execute_keyed(const KeyedMutation& keyed, const PreparedMutation& prepared,
                              std::int64_t now_ms) {
    if (prepared.fingerprint_denied) {
        return {Reply(Error{ErrorCode::idempotency_conflict,
                            "Field fingerprint does not match the request's fingerprint " +
                                prepared.fingerprint.hex()}),
                0};
    }
    if (const IdempotencyIndex::Record* const first =
            idempotency().find(prepared.key, records_unix(now_ms))) {
        if (!first->matches(prepared.fingerprint)) {
            return {Reply(Error{ErrorCode::idempotency_conflict,
                                "Field idempotency_key was already used with a different request"}),
                    first->lsn};
        }
        return repeat(*keyed.body, *first, now_ms);
    }
    return execute_mutation(*keyed.body, now_ms, keyed.key, &prepared);
}

Outcome Engine::repeat(const Mutation& command, const IdempotencyIndex::Record& first,
                       std::int64_t now_ms) const {
    Outcome outcome{reply_again(command, first), first.lsn, Deduplication::repeat};
    show_totals(command, now_ms, outcome);
    return outcome;
}

/// Totals are those of now, of a repeat too: they are no part of what was done then.
void Engine::show_totals(const Mutation& command, std::int64_t now_ms, Outcome& outcome) const {
    const auto show = [&](const auto& m) {
        if (m.shows_totals) [[unlikely]] {
            outcome.result =
                Reply(counter_totals(find_series(m.series), m.key, resolve(m.day, now_ms), m.value));
            outcome.wait_lsn = std::max(outcome.wait_lsn, wait_lsn(m.series));
        }
    };
    if (const auto* const increment = std::get_if<mutation::Increment>(&command)) {
        show(*increment);
    } else if (const auto* const decrement = std::get_if<mutation::Decrement>(&command)) {
        show(*decrement);
    }
}

/// There is no way back from the middle of an event.
Reply Engine::record(const Event& event, Prepared prepared) {
    try {
        return record_whole(event, prepared);
    } catch (...) {
        is_half_changed_ = true;
        throw;
    }
}

Reply Engine::record_whole(const Event& event, Prepared prepared) {
    last_lsn_ = event.lsn;
    last_event_ms_ = event.time_ms;
    Reply reply = std::visit(Applier(*this, event), event.body);
    components_->follow(event);
    EventRecords records;
    IdempotencyRecord record;
    if (!event.idempotency_key.empty()) {
        record.lsn = event.lsn;
        record.key = event.idempotency_key;
        record.created_at_unix = event.time_ms / 1000;
        record.operation = operation_of(event.body).value();
        record.fingerprint = prepared->fingerprint;
        set_response(record, reply);
        keys().add(index_record(record, prepared->key));
        records.idempotency = &record;
    } else if (const auto* const commit = std::get_if<fact::CommitStream>(&event.body)) {
        records.stream = &streams().find(commit->stream_id)->info;
    } else if (std::holds_alternative<fact::PruneRecords>(event.body)) {
        records.first_record_lsn = idempotency().first_live_lsn();
    } else if (std::holds_alternative<fact::PruneStreams>(event.body)) {
        records.pruned_streams = streams().last_pruned();
    }
    sink_.accept(event, records);
    return reply;
}

void Engine::replicate(const Event& event) {
    if (event.lsn != last_lsn_ + 1) {
        throw CorruptionError("an event with LSN " + std::to_string(event.lsn) + " after LSN " +
                              std::to_string(last_lsn_));
    }
    const std::optional<Reply> known = std::visit(FactChecker(*this), event.body);
    if (known) {
        const Error* const refused = std::get_if<Error>(&*known);
        throw RefusedEvent(refused == nullptr ? std::nullopt : std::optional(refused->code),
                           "the event with LSN " + std::to_string(event.lsn) +
                               " does not follow from the state before it: " +
                               (refused == nullptr ? "it is a repeat" : refused->message));
    }
    if (event.idempotency_key.empty()) {
        record(event, nullptr);
        return;
    }
    if (!operation_of(event.body)) {
        throw CorruptionError("the event with LSN " + std::to_string(event.lsn) +
                              " has an idempotency key that its kind does not take");
    }
    const PreparedMutation prepared = preparer_.prepare(event, hash_seed());
    record(event, &prepared);
}

void Engine::exchange_state(Engine& other) noexcept {
    const std::uint64_t seed = hash_seed();
    hash_seed_ = other.hash_seed();
    other.hash_seed_ = seed;
    std::swap(series_, other.series_);
    std::swap(keys_of_series_, other.keys_of_series_);
    std::swap(components_, other.components_);
    std::swap(deferred_, other.deferred_);
    std::swap(last_lsn_, other.last_lsn_);
    std::swap(last_event_ms_, other.last_event_ms_);
    std::swap(catalog_lsn_, other.catalog_lsn_);
    std::swap(is_half_changed_, other.is_half_changed_);
    collecting_.reset();
}

void Engine::restore_record(const IdempotencyRecord& record) {
    keys().add(index_record(record, hash_idempotency_key(record.key, hash_seed())));
}

bool Engine::sweep_records(std::size_t max, std::int64_t event_ms) {
    keys().expire(records_unix(event_ms));
    return keys().sweep(max);
}

void Engine::defer_free(std::unique_ptr<Series> series) {
    if (series != nullptr) {
        deferred_.push_back(std::move(series));
    }
}

void Engine::restore_stream(StreamInfo info, std::unique_ptr<Series> staged) {
    open_streams().restore({std::move(info), std::move(staged)});
}

void Engine::apply(const Event& event) {
    std::visit(Applier(*this, event), event.body);
    components_->follow(event);
    last_lsn_ = event.lsn;
    last_event_ms_ = event.time_ms;
}

StateView Engine::view() const {
    StateView view = view_beside_series();
    view.series.reserve(series_.size());
    series_.for_each_by_name([&](const Series& series) { view.series.push_back(series.view()); });
    return view;
}

std::shared_ptr<ViewCollection> Engine::begin_view() {
    collecting_ = std::make_shared<ViewCollection>();
    collecting_->view = view_beside_series();
    return collecting_;
}

/// A series that an event has touched since the view was begun is among the changed ones, or is new.
bool Engine::collect_view(ViewCollection& collection, std::size_t series_max) {
    std::size_t left = series_max;
    const auto collect = [&](const Series& series) {
        if (left == 0) {
            return false;
        }
        --left;
        if (series.last_lsn() <= collection.view.lsn) {
            collection.view.series.push_back(series.view());
        }
        collection.last_name = series.name();
        return true;
    };
    if (!std::exchange(collection.has_begun, true) && find_series("") != nullptr) {
        collect(*find_series(""));
    }
    series_.for_each_after(collection.last_name, collect);
    if (left == 0) {
        return true;
    }
    collecting_.reset();
    return false;
}

void Engine::keep_for_collection(const Series& series) {
    if (collecting_.use_count() == 1) {
        collecting_.reset();  // nobody wants it any more
        return;
    }
    const bool is_collected = collecting_->has_begun && series.name() <= collecting_->last_name;
    if (series.last_lsn() <= collecting_->view.lsn && !is_collected) {
        collecting_->changed.push_back(series.view());
    }
}

StateView Engine::ordered(ViewCollection&& collection) {
    StateView view = std::move(collection.view);
    const auto by_name = [](const SeriesView& a, const SeriesView& b) { return a.name() < b.name(); };
    std::ranges::sort(collection.changed, by_name);
    const auto collected = static_cast<std::ptrdiff_t>(view.series.size());
    std::ranges::move(collection.changed, std::back_inserter(view.series));
    std::ranges::inplace_merge(view.series, view.series.begin() + collected, by_name);
    return view;
}

StateView Engine::view_beside_series() const {
    StateView view{last_lsn_, {}, components_->views(), {}};
    if (last_event_ms_ != std::numeric_limits<std::int64_t>::min()) {
        view.records = idempotency().digest(last_event_ms_ / 1000);
    }
    return view;
}

void Engine::restore_series(Series series) {
    keys_of_series_ += series.totals().keys;
    const std::unique_ptr<Series> before = series_.exchange(std::make_unique<Series>(std::move(series)));
    keys_of_series_ -= before == nullptr ? 0 : before->totals().keys;
}

}  // namespace karma
