#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/model/generator.h"
#include "tests/model/model.h"
#include "tests/model/profile.h"
#include "tests/model/shrink.h"
#include "tests/support/daemon.h"
#include "tests/support/temp_dir.h"

namespace karma::test::model {

// The daemon and the model differ. The text says all that is known about it.
class Difference : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Sends random requests to a daemon and compares every reply with the model's; ends, kills, moves and
// restarts the daemon meanwhile. The same random engine makes the same run.
class Runner {
public:
    Runner(const Profile& profile, std::mt19937_64 random);

    // Throws Difference.
    void run(std::size_t requests);

    // Sends these lines in one packet, and compares.
    void send(const std::vector<std::string>& lines);
    // Compares everything that the daemon shows of its state.
    void compare_all();

    // --- what happens to the daemon ---
    void restart(int signal);
    // While it executes random requests.
    void kill();
    // To a new directory, by files.
    void move();

    // Does again what `steps` of another run say. Throws Difference.
    void play(const std::vector<Step>& steps);
    // What was done so far.
    const std::vector<Step>& steps() const { return steps_; }

    std::size_t sent() const { return sent_; }
    std::size_t lives() const { return lives_; }
    Model& model() { return model_; }
    Daemon& daemon() { return *daemon_; }

private:
    struct Pending {
        std::string line;
        Expected expected;
    };

    std::vector<Pending> make_packet(std::size_t size, bool for_kill);
    void add(std::vector<Pending>& packet, std::string line);
    void exchange(const std::vector<Pending>& packet);
    void receive(const Pending& pending);
    // Several connections at once, each with series of its own.
    void burst();
    // The requests of a burst in the order in which the daemon's log has them.
    void merge(const Model::Mark& before, std::vector<std::deque<std::string>> writes);
    // After a kill: as many of the requests have happened as the daemon shows.
    void settle(const std::vector<Model::Mark>& marks, const std::vector<Pending>& packet,
                std::size_t answered, std::uint64_t lsn);
    void note(Step::Kind kind, const std::vector<Pending>& packet, int signal = 0);
    void event();
    void start(const Config& config);
    Config next_config();
    std::uint64_t current_lsn();
    // Those that the daemon made by itself, too.
    void learn_snapshots();
    void verify_directory();
    void fill_large_series();
    void remember(const std::string& line);
    [[noreturn]] void differ(const std::string& what, const std::string& request,
                             const std::string& got) const;

    Profile profile_;
    std::mt19937_64 random_;
    Generator generator_;
    Model model_;
    TempDir scratch_;
    std::unique_ptr<Daemon> daemon_;
    std::optional<Client> client_;
    std::deque<std::string> last_;  // requests
    std::vector<Step> steps_;
    std::size_t sent_ = 0;
    std::size_t lives_ = 1;
    std::size_t moves_ = 0;
};

// What is wrong with a reply; nothing when it is one of those that are expected.
std::optional<std::string> wrong_reply(const Expected& expected, const json::value& reply);

}  // namespace karma::test::model
