#include "perf/in_process/work.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "perf/load/random.h"
#include "perf/measure/clock.h"
#include "persist/database.h"

namespace karma::perf {

namespace {

constexpr std::string_view series = "links";
constexpr Day day = 739'575;
// Requests are made for so many items at a time, and then executed: few enough to stay in the caches.
constexpr std::uint32_t items_made_at_once = 4'096;
constexpr std::uint32_t turns_made_at_once = 256;

std::string work_name(Work work) {
    switch (work) {
        case Work::increment: return "increment";
        case Work::increment_with_key: return "increment-with-key";
        case Work::sum: return "sum";
        case Work::batch_add: return "batch-add";
        case Work::batch_sum: return "batch-sum";
    }
    return {};
}

// The requests of some turns. They borrow from what is kept here.
class Requests {
public:
    Requests(const Case& one, const Size& size)
        : work_(one.work), keys_(size.keys), items_(one.is_batch() ? size.items : 1), random_(7) {
        turns_ = std::clamp(items_made_at_once / (one.per_commit * items_), 1U, turns_made_at_once);
        const std::size_t count = std::size_t{turns_} * one.per_commit;
        requests_.reserve(count);
        for (std::size_t i = 0; i < count; ++i) requests_.emplace_back(query::Ping{});
        items_of_.resize(one.work == Work::batch_add ? count : 0);
        keys_of_.resize(one.work == Work::batch_sum ? count : 0);
        texts_.resize(one.work == Work::increment_with_key ? count : 0);
        bodies_.resize(texts_.size());
    }

    std::uint32_t turns() const { return turns_; }
    std::uint32_t items() const { return items_; }
    std::span<const Request> all() const { return requests_; }

    void make() {
        for (std::size_t i = 0; i < requests_.size(); ++i) make_one(i);
    }

private:
    std::uint64_t draw() { return random_.below(keys_); }

    // In place: g++ 12 takes the empty options of a query that is moved for uninitialised.
    void make_one(std::size_t i) {
        switch (work_) {
            case Work::increment: requests_[i].emplace<Mutation>(an_increment()); break;
            case Work::increment_with_key:
                bodies_[i] = an_increment();
                texts_[i] = "in-process-" + std::to_string(++made_);
                requests_[i].emplace<KeyedMutation>(KeyedMutation{&bodies_[i], texts_[i], {}});
                break;
            case Work::sum: {
                auto& sum = requests_[i].emplace<query::Sum>();
                sum.series = series;
                sum.key = draw();
                break;
            }
            case Work::batch_add:
                items_of_[i].resize(items_);
                for (mutation::Item& item : items_of_[i]) item = {draw(), day, 1};
                requests_[i].emplace<Mutation>(mutation::BatchAdd{series, items_of_[i]});
                break;
            case Work::batch_sum: {
                keys_of_[i].resize(items_);
                for (std::uint64_t& key : keys_of_[i]) key = draw();
                auto& sums = requests_[i].emplace<query::BatchSum>();
                sums.series = series;
                sums.keys = keys_of_[i];
                break;
            }
        }
    }

    mutation::Increment an_increment() { return {series, draw(), day, 1}; }

    Work work_;
    std::uint32_t keys_;
    std::uint32_t items_;
    Random random_;
    std::uint32_t turns_ = 1;
    std::uint64_t made_ = 0;
    std::vector<Request> requests_;
    std::vector<std::vector<mutation::Item>> items_of_;
    std::vector<std::vector<std::uint64_t>> keys_of_;
    std::vector<std::string> texts_;
    std::vector<Mutation> bodies_;
};

// Executes as a connection of the daemon does: requests, one commit, then the wait for what the replies show.
class Client {
public:
    explicit Client(Executor& executor) : executor_(executor) {
        listener_ = executor_.add_durable_listener([this] {
            const std::lock_guard lock(mutex_);
            changed_.notify_all();
        });
        wait([this] { return executor_.has_records(); });
    }
    ~Client() { executor_.remove_durable_listener(listener_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void turn(std::span<const Request> requests) {
        outcomes_.clear();
        outcomes_.resize(requests.size());
        executor_.execute(requests, outcomes_);
        executor_.commit();
        Lsn lsn = 0;
        for (Outcome& outcome : outcomes_) {
            finish(outcome);
            lsn = std::max(lsn, outcome.wait_lsn);
        }
        if (executor_.durable_lsn() < lsn) {
            wait([&] { return executor_.durable_lsn() >= lsn || executor_.has_failed(); });
        }
        if (executor_.has_failed()) throw std::runtime_error("the log cannot be written");
    }

private:
    template <typename Condition>
    void wait(const Condition& condition) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, condition);
    }

    static void finish(Outcome& outcome) {
        if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
            outcome.result = (*task)->run(NoDeadline());
        }
        const auto* const refused = std::get_if<Error>(&std::get<Reply>(outcome.result));
        if (refused != nullptr) throw std::runtime_error("refused: " + refused->message);
    }

    Executor& executor_;
    std::mutex mutex_;
    std::condition_variable changed_;
    int listener_ = 0;
    std::vector<Outcome> outcomes_;
};

void preload(Client& client, const Size& size) {
    std::vector<mutation::Item> items;
    for (std::uint64_t key = 0; key < size.keys; ++key) {
        items.push_back({key, day, 1});
        if (items.size() == 10'000 || key + 1 == size.keys) {
            const Request request = Mutation(mutation::BatchAdd{series, items});
            client.turn(std::span(&request, 1));
            items.clear();
        }
    }
}

// Turns for so many seconds.
Figures run(Client& client, Requests& requests, std::uint32_t per_commit, double seconds,
            const std::atomic<bool>& stop) {
    Figures figures;
    const std::uint64_t end = now_ns() + seconds_to_ns(seconds);
    std::uint64_t took = 0;
    while (now_ns() < end && !stop.load()) {
        requests.make();
        std::uint64_t before = now_ns();
        for (std::uint32_t turn = 0; turn < requests.turns(); ++turn) {
            client.turn(requests.all().subspan(std::size_t{turn} * per_commit, per_commit));
            const std::uint64_t after = now_ns();
            figures.latency_ns.record(after - before);
            took += after - before;
            before = after;
        }
        figures.requests += requests.all().size();
    }
    figures.items = figures.requests * requests.items();
    figures.seconds = static_cast<double>(took) / 1e9;
    return figures;
}

}  // namespace

std::string wal_mode_name(WalMode mode) {
    switch (mode) {
        case WalMode::none: return "none";
        case WalMode::unsynced: return "unsynced";
        case WalMode::synced: return "synced";
    }
    return {};
}

std::string Case::name() const {
    return work_name(work) + "/" + wal_mode_name(wal) + "/" + std::to_string(per_commit);
}

std::vector<Case> make_cases(const std::vector<WalMode>& modes,
                             const std::vector<std::uint32_t>& per_commit) {
    std::vector<Case> cases;
    for (const Work work :
         {Work::increment, Work::increment_with_key, Work::sum, Work::batch_add, Work::batch_sum}) {
        for (const WalMode mode : modes) {
            for (const std::uint32_t count : per_commit) {
                const Case one{work, mode, count};
                if (one.is_write() || mode == modes.front()) cases.push_back(one);
            }
        }
    }
    return cases;
}

Figures measure(const Case& one, const Size& size, const std::filesystem::path& directory,
                const std::atomic<bool>& stop) {
    DatabaseOptions options;
    options.directory = directory;
    options.wal = one.wal != WalMode::none;
    options.wal_fsync = one.wal == WalMode::synced;
    const auto database = Database::open(options);
    Client client(*database);
    preload(client, size);
    Requests requests(one, size);
    run(client, requests, one.per_commit, size.warmup_seconds, stop);
    return run(client, requests, one.per_commit, size.seconds, stop);
}

}  // namespace karma::perf
