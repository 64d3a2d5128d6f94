#include "tests/simulation/network.h"

#include <algorithm>
#include <array>
#include <deque>

#include "net/client_connection.h"

namespace karma::test {

using replica::ChannelError;

// One direction of a connection.
struct Direction {
    std::string from;
    std::string to;
    std::deque<std::pair<Scheduler::Clock::time_point, std::string>> under_way;
    std::string arrived;
    std::size_t under_way_bytes = 0;
    bool is_closed = false;  // by the sender
    bool shows_end = false;  // the receiver has got the end
};

// A connection: two directions, and what both ends know of it.
struct Link {
    std::array<Direction, 2> directions;
    std::array<bool, 2> is_broken{};  // as far as this end knows
    std::array<Scheduler::Task*, 2> waiting{};
    std::array<bool, 2> woken{};
    std::size_t window = 0;  // bytes that may be under way

    void wake(Scheduler& scheduler, std::size_t end) noexcept {
        if (Scheduler::Task* const task = waiting.at(end)) {
            scheduler.wake(task);
        }
    }
    // As far as this end knows.
    void break_end(Scheduler& scheduler, std::size_t end) noexcept {
        is_broken.at(end) = true;
        wake(scheduler, end);
    }
};

namespace {

using std::chrono::microseconds;

class SimulatedStream final : public replica::PeerStream {
public:
    SimulatedStream(SimulatedNetwork& network, std::shared_ptr<Link> link, std::size_t end)
        : network_(network), link_(std::move(link)), end_(end) {}
    ~SimulatedStream() override { close(); }

    std::size_t send(std::string_view bytes) override {
        check();
        Direction& out = link_->directions.at(end_);
        const std::size_t used = out.under_way_bytes + out.arrived.size();
        if (out.is_closed) {
            throw ChannelError("the connection broke: it was ended here");
        }
        if (used >= link_->window) {
            return 0;
        }
        Scheduler& scheduler = network_.scheduler();
        const std::size_t size = scheduler.between(1, std::min(bytes.size(), link_->window - used));
        const auto earliest = out.under_way.empty() ? scheduler.now() : out.under_way.back().first;
        const auto arrives = std::max(earliest, scheduler.now()) +
                             microseconds(scheduler.between(1, scheduler.one_in(50) ? 20'000 : 300));
        out.under_way.emplace_back(arrives, std::string(bytes.substr(0, size)));
        out.under_way_bytes += size;
        deliver_at(arrives);
        return size;
    }

    std::size_t receive(char* bytes, std::size_t size) override {
        check();
        Direction& in = link_->directions.at(1 - end_);
        if (in.arrived.empty()) {
            if (in.shows_end || link_->directions.at(end_).is_closed) {
                throw ChannelError("the other end closed the connection");
            }
            return 0;
        }
        const std::size_t got = network_.scheduler().between(1, std::min(size, in.arrived.size()));
        std::copy_n(in.arrived.data(), got, bytes);
        in.arrived.erase(0, got);
        wake_end(1 - end_);
        return got;
    }

    Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) override {
        Scheduler& scheduler = network_.scheduler();
        const auto ready = [&] {
            const Direction& in = link_->directions.at(1 - end_);
            const Direction& out = link_->directions.at(end_);
            const bool is_broken = link_->is_broken.at(end_);
            return Ready{
                wants_to_receive && (!in.arrived.empty() || in.shows_end || is_broken || out.is_closed),
                wants_to_send && (out.under_way_bytes + out.arrived.size() < link_->window || is_broken)};
        };
        Ready found = ready();
        if (!found.to_receive && !found.to_send && !link_->woken.at(end_)) {
            link_->waiting.at(end_) = Scheduler::current();
            scheduler.wait(scheduler.now() + time);
            link_->waiting.at(end_) = nullptr;
            found = ready();
        } else {
            scheduler.sleep(microseconds(0));
        }
        link_->woken.at(end_) = false;
        return found;
    }

    void wake() noexcept override {
        link_->woken.at(end_) = true;
        wake_end(end_);
    }
    void end() noexcept override { close(); }

private:
    void check() const {
        if (link_->is_broken.at(end_)) {
            throw ChannelError("the connection broke");
        }
    }

    void wake_end(std::size_t end) noexcept { link_->wake(network_.scheduler(), end); }

    void close() noexcept {
        Direction& out = link_->directions.at(end_);
        if (!out.is_closed) {
            out.is_closed = true;
            wake_end(end_);
            deliver_at(network_.scheduler().now() + microseconds(network_.scheduler().between(1, 300)));
        }
    }

    void deliver_at(Scheduler::Clock::time_point time) {
        network_.scheduler().at(
            time, [&network = network_, link = link_, end = end_] { deliver(network, link, end); });
    }

    // What has come to its time. Behind a cut it waits, as what TCP sends again and again does.
    static void deliver(SimulatedNetwork& network, const std::shared_ptr<Link>& link, std::size_t end) {
        Direction& way = link->directions.at(end);
        Scheduler& scheduler = network.scheduler();
        if (network.is_cut(way.from, way.to)) {
            scheduler.at(scheduler.now() + std::chrono::milliseconds(30),
                         [&network, link, end] { deliver(network, link, end); });
            return;
        }
        while (!way.under_way.empty() && way.under_way.front().first <= scheduler.now()) {
            way.under_way_bytes -= way.under_way.front().second.size();
            way.arrived += way.under_way.front().second;
            way.under_way.pop_front();
        }
        way.shows_end = way.is_closed && way.under_way.empty();
        link->wake(scheduler, 1 - end);
    }

    SimulatedNetwork& network_;
    std::shared_ptr<Link> link_;
    std::size_t end_;
};

class SimulatedLineClient final : public replica::LineClient {
public:
    SimulatedLineClient(SimulatedNetwork& network, const std::string& from, const replica::Peer& peer)
        : network_(network), peer_(peer), stream_(network.connect(from, peer)) {}

    std::string ask(const std::string& line) override {
        try {
            return ask_over_wire(line + "\n");
        } catch (const ChannelError& failure) {
            has_failed_ = true;
            throw net::ConnectionError(failure.what());
        }
    }
    bool has_failed() const override { return has_failed_; }
    std::unique_ptr<replica::PeerStream> release(std::string& received) override {
        received = std::move(received_);
        return std::move(stream_);
    }

private:
    std::string ask_over_wire(std::string_view rest) {
        const auto end = network_.scheduler().now() + peer_.timeout;
        std::size_t at = std::string::npos;
        while ((at = received_.find('\n')) == std::string::npos) {
            rest.remove_prefix(rest.empty() ? 0 : stream_->send(rest));
            if (network_.scheduler().now() >= end || (peer_.stop != nullptr && *peer_.stop)) {
                throw ChannelError("no answer in time");
            }
            if (stream_->wait(true, !rest.empty(), std::chrono::milliseconds(20)).to_receive) {
                std::array<char, 4096> bytes{};
                received_.append(bytes.data(), stream_->receive(bytes.data(), bytes.size()));
            }
        }
        std::string line = received_.substr(0, at);
        received_.erase(0, at + 1);
        if (line.ends_with('\r')) {
            line.pop_back();
        }
        return line;
    }

    SimulatedNetwork& network_;
    replica::Peer peer_;
    std::unique_ptr<replica::PeerStream> stream_;
    std::string received_;
    bool has_failed_ = false;
};

class NetworkOf final : public replica::Network {
public:
    NetworkOf(SimulatedNetwork& network, std::string name) : network_(network), name_(std::move(name)) {}
    std::unique_ptr<replica::LineClient> connect(const replica::Peer& peer) override {
        return std::make_unique<SimulatedLineClient>(network_, name_, peer);
    }

private:
    SimulatedNetwork& network_;
    std::string name_;
};

}  // namespace

replica::Network& SimulatedNetwork::of(const std::string& name) {
    std::unique_ptr<replica::Network>& network = networks_[name];
    if (!network) {
        network = std::make_unique<NetworkOf>(*this, name);
    }
    return *network;
}

void SimulatedNetwork::listen(const std::string& name, Accept accept) {
    listening_[name] = std::move(accept);
}

void SimulatedNetwork::close(const std::string& name) { listening_.erase(name); }

void SimulatedNetwork::look_up(const std::string& from, const replica::Peer& peer) {
    if (!slow_lookups_.contains(from)) {
        return;
    }
    const auto end = scheduler_.now() + peer.timeout;
    const auto found_at = scheduler_.now() + std::chrono::milliseconds(scheduler_.between(0, 4'000));
    while (scheduler_.now() < found_at) {
        if (scheduler_.now() >= end || (peer.stop != nullptr && *peer.stop)) {
            throw net::ConnectionError("the address of " + peer.host + " was not found in time");
        }
        scheduler_.sleep(std::chrono::milliseconds(10));
    }
}

std::unique_ptr<replica::PeerStream> SimulatedNetwork::connect(const std::string& from,
                                                               const replica::Peer& peer) {
    look_up(from, peer);
    const auto end = scheduler_.now() + peer.timeout;
    scheduler_.sleep(microseconds(scheduler_.between(20, 500)));
    while (is_cut(from, peer.host) || is_cut(peer.host, from)) {
        if (scheduler_.now() >= end || (peer.stop != nullptr && *peer.stop)) {
            throw net::ConnectionError(peer.host + " does not answer");
        }
        scheduler_.sleep(std::chrono::milliseconds(10));
    }
    const auto listener = listening_.find(peer.host);
    if (listener == listening_.end()) {
        throw net::ConnectionError(peer.host + " refuses the connection");
    }
    auto link = std::make_shared<Link>();
    link->directions = {Direction{from, peer.host, {}, {}, 0, false, false},
                        Direction{peer.host, from, {}, {}, 0, false, false}};
    link->window = scheduler_.between(500, 100'000);
    forget_broken();
    links_.push_back(link);
    listener->second(std::make_unique<SimulatedStream>(*this, link, 1), from);
    return std::make_unique<SimulatedStream>(*this, link, 0);
}

void SimulatedNetwork::forget_broken() {
    std::erase_if(links_, [](const std::weak_ptr<Link>& link) { return link.expired(); });
}

void SimulatedNetwork::lose(const std::string& name) {
    listening_.erase(name);
    for (const std::weak_ptr<Link>& weak : links_) {
        const std::shared_ptr<Link> link = weak.lock();
        for (std::size_t end = 0; link && end < 2; ++end) {
            if (link->directions.at(end).from == name) {
                lose_end(link, end);
            }
        }
    }
}

void SimulatedNetwork::lose_end(const std::shared_ptr<Link>& link, std::size_t end) {
    link->directions.at(end).under_way.clear();
    // What tells the other end is an answer of the machine, when that is back before it gives up.
    if (!scheduler_.one_in(3)) {
        scheduler_.at(scheduler_.now() + microseconds(scheduler_.between(100, 400'000)),
                      [link, end, this] { link->break_end(scheduler_, 1 - end); });
    }
    link->break_end(scheduler_, end);
}

void SimulatedNetwork::break_one() {
    forget_broken();
    if (links_.empty()) {
        return;
    }
    const std::shared_ptr<Link> link = links_[scheduler_.between(0, links_.size() - 1)].lock();
    for (std::size_t end = 0; link && end < 2; ++end) {
        link->break_end(scheduler_, end);
    }
}

void SimulatedNetwork::cut(const std::string& from, const std::string& to) { cuts_.emplace(from, to); }

void SimulatedNetwork::heal() {
    cuts_.clear();
    slow_lookups_.clear();
}

}  // namespace karma::test
