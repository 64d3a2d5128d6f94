#include "tests/program/producer.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "tests/support/settings.h"

namespace karma::test {

Producer::Producer(std::uint64_t number, std::uint64_t seed, Ledger& ledger)
    : estate_(number), random_(seed), ledger_(ledger) {}

bool Producer::own_is_open() const {
    return std::ranges::any_of(open_, [](const Open& each) { return each.own_after.has_value(); });
}

std::shared_ptr<KeyedRequest> Producer::make_keyed(const Operation& operation, json::value response) {
    auto request = make_keyed_request(operation, std::move(response), estate_.unique(made_++), random_);
    ledger_.add(request);
    return request;
}

Producer::Open Producer::make_own_request() {
    const bool own_series = one_in(random_, 2);
    const std::string series = own_series ? estate_.series : shared_series[random_() % shared_series.size()];
    Operation operation = random_operation(random_, series, estate_.keys, own_series);
    Open made;
    made.own_after = own_;
    json::value response = execute(operation, *made.own_after);
    if (operation.kind == Operation::Kind::batch_add && !own_series && one_in(random_, 2)) {
        // All of a batch or nothing: a shared key is in it too.
        const Operation more{operation.kind, series, random_shared_items(random_, 3), {}};
        operation.items.insert(operation.items.end(), more.items.begin(), more.items.end());
        const json::value added = execute(more, made.shared);
        response = {{"applied", operation.items.size()},
                    {"total", as_number(member(response, "total")) + as_number(member(added, "total"))}};
    }
    made.request = make_keyed(operation, std::move(response));
    return made;
}

Producer::Open Producer::make_shared_request() {
    const bool single = one_in(random_, 2);
    const Operation operation{single ? Operation::Kind::increment : Operation::Kind::batch_add,
                              shared_series[random_() % shared_series.size()],
                              random_shared_items(random_, single ? 1 : random_between(random_, 1, 10)),
                              {}};
    Open made;
    json::value response = execute(operation, made.shared);
    made.request = make_keyed(operation, std::move(response));
    return made;
}

void Producer::make_request(Lane& lane) {
    open_.push_back(!own_is_open() && one_in(random_, 2) ? make_own_request() : make_shared_request());
    if (one_in(random_, 20)) {
        lane.put_invalid(*open_.back().request);
    }
    lane.put_keyed(open_.back().request, random_);
}

void Producer::deliver_open(Lanes& lanes) {
    std::vector<std::size_t> order(open_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random_);
    for (const std::size_t place : order) any(lanes).put_keyed(open_[place].request, random_);
}

void Producer::deliver_known(Lane& lane) {
    const std::shared_ptr<KeyedRequest> known = ledger_.pick(random_);
    if (known == nullptr) return;
    if (known->acknowledged() && one_in(random_, 3)) {
        lane.put_conflict(*known, random_);
    } else {
        lane.put_keyed(known, random_);
    }
}

void Producer::take_replies(Lanes& lanes) {
    Lane& first = any(lanes);
    Lane& lane = first.waiting() > 0 ? first : &first == &lanes[0] ? lanes[1] : lanes[0];
    if (lane.waiting() == 0) return;
    for (std::uint64_t left = random_between(random_, 1, lane.waiting()); left > 0; --left) lane.take();
}

std::size_t Producer::close_acknowledged() {
    return std::erase_if(open_, [&](Open& each) {
        if (!each.request->acknowledged()) return false;
        add_points(each.shared, shared_);
        if (each.own_after) own_ = std::move(*each.own_after);
        return true;
    });
}

void Producer::run(std::uint16_t port, std::size_t window, RunSignals& signals) {
    try {
        Lanes lanes{Lane(port), Lane(port)};
        // Some operations need a series that is there.
        for (const std::string& series : {estate_.series, shared_series[0], shared_series[1]})
            lanes[0].call("tree.create", {{"series", series}});
        deliver_open(lanes);
        while (!signals.failed && (!signals.finishing || !open_.empty())) {
            while (!signals.finishing && open_.size() < window) make_request(any(lanes));
            if (!open_.empty() && one_in(random_, 3)) {
                any(lanes).put_keyed(open_[random_() % open_.size()].request, random_);
            }
            if (one_in(random_, 4)) deliver_known(any(lanes));
            for (Lane& lane : lanes) lane.flush();
            take_replies(lanes);
            signals.acknowledged += close_acknowledged();
            if (!own_is_open() && one_in(random_, 30)) {
                check_own_sum(any(lanes), estate_, own_, random_);
            }
        }
        for (Lane& lane : lanes) lane.finish();
    } catch (const ConnectionClosed&) {   // NOLINT(bugprone-empty-catch): the crash that is expected
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): the same, before it could connect
    } catch (const std::exception& error) {
        problem_ = estate_.name() + ": " + error.what();
        signals.failed = true;
    }
}

std::string Producer::settle(const State& found, State& least, State& most) {
    close_acknowledged();
    add_points(shared_, least);
    add_points(shared_, most);
    const State own = estate_.part_of(found);
    std::string difference = first_difference(own_, own);
    for (const Open& each : open_) {
        add_points(each.shared, most);
        // It may have been executed without a reply.
        if (each.own_after && !difference.empty() && *each.own_after == own) difference.clear();
    }
    return difference.empty() ? difference : estate_.name() + ": " + difference;
}

}  // namespace karma::test
