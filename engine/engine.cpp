#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <set>
#include <type_traits>

#include "engine/apply.h"
#include "engine/check.h"
#include "engine/error.h"
#include "engine/querier.h"

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

Lsn Engine::wait_lsn(const Mutation& body) const noexcept {
    return std::visit(
        [this](const auto& m) -> Lsn {
            using M = std::decay_t<decltype(m)>;
            Lsn lsn = 0;
            if constexpr (requires { m.series; }) {
                lsn = wait_lsn(m.series);
            } else if constexpr (std::is_same_v<M, mutation::MultiAdd>) {
                for (const mutation::SeriesItem& item : m.items) {
                    lsn = std::max(lsn, wait_lsn(item.series));
                }
            }
            if constexpr (CheckedByComponent<M>) {
                lsn = std::max(lsn, components_->checking<M>().wait_lsn(m));
            } else if constexpr (requires { m.stream_id; }) {
                lsn = std::max(lsn, streams().wait_lsn(m.stream_id));
            }
            return lsn;
        },
        body);
}

Outcome Engine::execute(const Request& request, std::int64_t now_ms) {
    if (Preparer::concerns(request)) {
        PreparedMutation prepared;
        preparer_.prepare(request, hash_seed(), now_ms, prepared);
        return execute(request, prepared, now_ms);
    }
    return std::visit(
        [&](const auto& body) -> Outcome {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, Mutation>) {
                return execute_mutation(body, now_ms);
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
    return execute_mutation(prepared.body, now_ms);
}

/// Why a mutation that is fine otherwise has no room for the series that it would make.
std::optional<Outcome> Engine::check_room(const Mutation& body) const {
    if (std::optional<Outcome> refused = check_stream_room(body)) {
        return refused;
    }
    if (series_max_ == 0) {
        return std::nullopt;
    }
    std::string_view series;
    if (const auto* const multi = std::get_if<mutation::MultiAdd>(&body)) {
        series = first_without_room(*multi);
    } else if (series_.size() >= series_max_) {
        series = series_of(body);
    }
    const auto* const set = std::get_if<mutation::BatchSet>(&body);
    if (series.empty() || series_.find(series) != nullptr || (set != nullptr && set->items.empty())) {
        return std::nullopt;
    }
    return Outcome{
        Reply(Error{ErrorCode::resource_exhausted,
                    "Tree \"" + std::string(series) + "\" would be a new one, and there are " +
                        std::to_string(series_.size()) + " already (--max-series): drop some first"}),
        catalog_lsn_};
}

/// The first series that it would make for which there is no room; empty where there is for all.
std::string_view Engine::first_without_room(const mutation::MultiAdd& body) const {
    std::set<std::string_view> made;
    for (const mutation::SeriesItem& item : body.items) {
        if (find_series(item.series) == nullptr && made.insert(item.series).second &&
            series_.size() + made.size() > series_max_) {
            return item.series;
        }
    }
    return {};
}

/// The same for what would be remembered of an ingest stream. Loads of snapshots are forgotten at their end.
std::optional<Outcome> Engine::check_stream_room(const Mutation& body) const {
    const bool grows = std::holds_alternative<mutation::BeginStream>(body) ||
                       std::holds_alternative<mutation::AddChunk>(body);
    if (streams_max_ == 0 || !grows || streams().weight() < streams_max_ ||
        stream_of(body).starts_with(load_stream_prefix)) {
        return std::nullopt;
    }
    return Outcome{Reply(Error{ErrorCode::resource_exhausted,
                               "As many ingest streams and chunks are remembered as may be "
                               "(--max-ingest-streams). Forget committed ones that no client sends again "
                               "(ingest.prune), or raise the limit"}),
                   streams().lsn()};
}

Outcome Engine::execute_mutation(const Mutation& body, std::int64_t now_ms) {
    if (std::optional<Reply> known = std::visit(Checker(*this), body)) {
        return {std::move(*known), wait_lsn(body)};
    }
    if (std::optional<Outcome> no_room = check_room(body)) {
        return std::move(*no_room);
    }
    return accept(body, now_ms, nullptr, nullptr);
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
            idempotency().find(prepared.key, std::min(now_ms, age_ms_) / 1000)) {
        if (!first->matches(prepared.fingerprint)) {
            return {Reply(Error{ErrorCode::idempotency_conflict,
                                "Field idempotency_key was already used with a different request"}),
                    first->lsn};
        }
        return repeat(prepared.body, *first);
    }
    if (std::optional<Reply> refused = std::visit(Checker(*this), prepared.body)) {
        return {std::move(*refused), wait_lsn(prepared.body)};
    }
    if (std::optional<Outcome> no_room = check_room(prepared.body)) {
        return std::move(*no_room);
    }
    return accept(prepared.body, now_ms, &keyed, &prepared);
}

/// Totals are those of now: they are no part of what was done then.
Outcome Engine::repeat(const Mutation& body, const IdempotencyIndex::Record& first) const {
    Outcome outcome{reply_again(body, first), first.lsn, Repetition::repeat};
    std::visit(
        [&](const auto& m) {
            if constexpr (requires { m.shows_totals; }) {
                if (m.shows_totals) {
                    outcome.result = Reply(counter_totals(find_series(m.series), m.key, m.day, m.value));
                    outcome.wait_lsn = std::max(outcome.wait_lsn, wait_lsn(m.series));
                }
            }
        },
        body);
    return outcome;
}

Outcome Engine::accept(const Mutation& body, std::int64_t now_ms, const KeyedMutation* keyed,
                       Prepared prepared) {
    Event event{last_lsn_ + 1, std::max(now_ms, last_event_ms_), body,
                keyed == nullptr ? std::string_view() : keyed->key};
    if (prepared == nullptr) {
        resolve_day(event.body, now_ms);
    }
    if (auto* const prune = std::get_if<mutation::PruneRecords>(&event.body);
        prune != nullptr && prune->limit) {
        keys().expire(std::min(event.time_ms, age_ms_) / 1000);
        prune->below_lsn = keys().end_of_oldest(prune->before_unix, *prune->limit);
    }
    std::string last_id;
    if (auto* const prune = std::get_if<mutation::PruneStreams>(&event.body)) {
        const StreamInfo& last = *streams().last_to_prune(prune->before_unix, prune->limit);
        last_id = last.id;  // it outlives the stream
        prune->last_id = last_id;
        prune->last_unix = last.committed_at_unix.value_or(0);
    }
    Outcome outcome{record(event, prepared), event.lsn};
    if (keyed != nullptr) {
        outcome.repetition = Repetition::first;
    }
    return outcome;
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
    } else if (const auto* const commit = std::get_if<mutation::CommitStream>(&event.body)) {
        records.stream = &streams().find(commit->stream_id)->info;
    } else if (std::holds_alternative<mutation::PruneRecords>(event.body)) {
        records.first_record_lsn = idempotency().first_live_lsn();
    } else if (std::holds_alternative<mutation::PruneStreams>(event.body)) {
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
    const std::optional<Reply> known = std::visit(Checker(*this), event.body);
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
    PreparedMutation prepared;
    preparer_.prepare(event, hash_seed(), prepared);
    record(event, &prepared);
}

void Engine::exchange_state(Engine& other) noexcept {
    const std::uint64_t seed = hash_seed();
    hash_seed_ = other.hash_seed();
    other.hash_seed_ = seed;
    std::swap(series_, other.series_);
    std::swap(keys_of_series_, other.keys_of_series_);
    std::swap(components_, other.components_);
    std::swap(retired_, other.retired_);
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
    keys().expire(std::min(event_ms, age_ms_) / 1000);
    return keys().sweep(max);
}

void Engine::retire(std::unique_ptr<Series> series) {
    if (series != nullptr) {
        retired_.push_back(std::move(series));
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
