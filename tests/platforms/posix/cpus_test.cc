// SPDX-License-Identifier: Apache-2.0
// Which cores are big, by files of machines that are made up; and threads that stay where they are
// told.
#include "runtime/platform/cpus.h"

#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/threads/worker_team.h"

namespace graft::runtime {
namespace {

CpuSet First(unsigned count) {
  CpuSet cpus;
  for (unsigned cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

class Machine {
 public:
  Machine() {
    std::string name = std::filesystem::temp_directory_path() / "graft-cpus-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    root_ = name;
  }
  ~Machine() { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  /// One number for each CPU, 0: no file.
  void Each(const std::string& file, std::initializer_list<int> numbers) const {
    int cpu = 0;
    for (const int number : numbers) {
      const std::string path = "sys/devices/system/cpu/cpu" + std::to_string(cpu++) + "/" + file;
      if (number != 0) Write(path, std::to_string(number));
    }
  }
  CpuTopology Read(const CpuSet& usable,
                   std::vector<uint32_t> (*measure)(const CpuSet&) = nullptr) const {
    return ReadCpuTopology(usable, root_.c_str(), measure);
  }
  uint32_t Threads(const CpuSet& usable) const { return Read(usable).default_threads; }

 private:
  std::filesystem::path root_;
};

constexpr char kCapacity[] = "cpu_capacity";
constexpr char kClock[] = "cpufreq/cpuinfo_max_freq";

TEST_SUITE("runtime/cpus") {
  TEST_CASE("the big cores are those near the strongest, whatever their order") {
    const Machine machine;
    CHECK(machine.Threads(First(6)) == 6);  // nothing is known: all are equal
    machine.Each(kCapacity, {250, 250, 250, 250, 620, 620, 1024, 1024});
    CHECK(machine.Threads(First(8)) == 4);
    machine.Each(kCapacity, {1024, 870, 870, 870, 402, 402, 402, 402});
    CHECK(machine.Threads(First(8)) == 4);
    machine.Each(kCapacity, {397, 397, 397, 397, 1024, 1024, 1024, 1024});
    CHECK(machine.Threads(First(8)) == 4);
    machine.Each(kCapacity, {535, 535, 535, 535, 1024, 1024, 1024, 1024});
    CHECK(machine.Threads(First(8)) == 4);
    machine.Each(kCapacity, {1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024});
    CHECK(machine.Threads(First(8)) == 8);
  }

  TEST_CASE("groups are cores of one kind, the strongest first") {
    const Machine machine;
    machine.Each(kCapacity, {402, 402, 870, 870, 1024});
    machine.Each(kClock, {1785600, 1785600, 2419200, 2419200, 2841600});
    machine.Write("proc/cpuinfo",
                  "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
                  "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
                  "processor\t: 2\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
                  "processor\t: 3\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
                  "processor\t: 4\nCPU implementer\t: 0x99\nCPU part\t: 0xabc\n\nHardware\t: X");
    const CpuTopology topology = machine.Read(First(5));
    REQUIRE(topology.groups.size() == 3);
    CHECK(CpuListText(topology.groups[0].cpus) == "4");
    CHECK(topology.groups[0].name == "ARM part 0x99-0xabc");
    CHECK(topology.groups[0].is_big);
    CHECK(CpuListText(topology.groups[1].cpus) == "2-3");
    CHECK(topology.groups[1].name == "Cortex-A76");
    CHECK(topology.groups[1].capacity == 870);
    CHECK(topology.groups[1].max_khz == 2419200);
    CHECK(topology.groups[1].is_big);
    CHECK(CpuListText(topology.groups[2].cpus) == "0-1");
    CHECK(topology.groups[2].name == "Cortex-A55");
    CHECK(!topology.groups[2].is_big);
    CHECK(topology.default_threads == 3);
  }

  TEST_CASE("other machines have the name of a model in cpuinfo, or none") {
    const Machine machine;
    machine.Write("proc/cpuinfo",
                  "processor\t: 0\nmodel name\t: Some CPU @ 2.60GHz\nflags\t: fpu\n");
    const CpuTopology topology = machine.Read(First(2));
    REQUIRE(topology.groups.size() == 2);
    CHECK(topology.groups[0].name == "Some CPU @ 2.60GHz");
    CHECK(topology.groups[1].name.empty());
    CHECK(topology.default_threads == 2);
  }

  TEST_CASE("the highest clock counts where the kernel has no measure for all") {
    const Machine machine;
    machine.Each(kClock, {1400000, 1400000, 2800000, 2800000});
    CHECK(machine.Threads(First(4)) == 2);
    machine.Each(kCapacity, {1024, 0, 200, 200});  // of some cores only
    CHECK(machine.Threads(First(4)) == 2);
    machine.Each(kCapacity, {1024, 1024, 200, 200});
    CHECK(machine.Threads(First(4)) == 2);
    CHECK(CpuListText(machine.Read(First(4)).groups[0].cpus) == "0-1");
  }

  TEST_CASE("cores that differ are measured where the kernel has no measure for all") {
    const auto measure = [](const CpuSet& cpus) {
      std::vector<uint32_t> speeds;
      for (const unsigned cpu : cpus) speeds.push_back(cpu < 2 ? 300 + cpu : 1000 - cpu);
      return speeds;
    };
    const Machine machine;
    CHECK(machine.Read(First(6), measure).default_threads == 4);  // nothing is known of them
    machine.Each(kClock, {1800000, 1800000, 2000000, 2000000, 2000000, 2000000});
    const CpuTopology topology = machine.Read(First(6), measure);
    CHECK(topology.default_threads == 4);
    REQUIRE(topology.groups.size() == 2);
    CHECK(CpuListText(topology.groups[0].cpus) == "2-5");
    CHECK(CpuListText(topology.groups[1].cpus) == "0-1");
    CHECK(!topology.groups[1].is_big);
    const auto refused = [](const CpuSet&) { return std::vector<uint32_t>(); };
    CHECK(machine.Read(First(6), refused).default_threads == 6);  // by their clocks
    machine.Each(kCapacity, {1024, 1024, 1024, 1024, 1024, 1024});
    CHECK(machine.Read(First(6), measure).default_threads == 6);
  }

  TEST_CASE("cores of one name and clock are not measured") {
    const auto measure = [](const CpuSet&) { return std::vector<uint32_t>{1, 1000}; };
    const Machine machine;
    machine.Write("proc/cpuinfo",
                  "processor\t: 0\nmodel name\t: X\n\nprocessor\t: 1\nmodel name\t: X\n");
    CHECK(machine.Read(First(2), measure).default_threads == 2);
    machine.Each(kClock, {1800000, 2800000});
    CHECK(machine.Read(First(2), measure).default_threads == 1);
  }

  TEST_CASE("this machine's cores have speeds, the same when asked again") {
    const CpuSet usable = UsableCpus();
    const CpuSet some(usable.begin(), usable.begin() + std::min<size_t>(2, usable.size()));
    const std::vector<uint32_t> speeds = MeasureCpuSpeeds(some);
    REQUIRE(speeds.size() == some.size());
    for (const uint32_t speed : speeds) CHECK(speed > 1000);  // a millisecond, where it takes 10 us
    CHECK(MeasureCpuSpeeds(some) == speeds);
    CHECK(UsableCpus() == usable);
    CHECK(MeasureCpuSpeeds({kMaxCpus - 1}).empty());
  }

  TEST_CASE("only cores that are on and may be used count") {
    const Machine machine;
    machine.Each(kCapacity, {400, 400, 400, 400, 1024, 1024, 1024, 1024});
    CHECK(machine.Threads({0, 1, 2, 3}) == 4);  // an app in the background
    CHECK(machine.Threads({2, 3, 4}) == 1);
    machine.Write("sys/devices/system/cpu/online", "0-3,6");
    CHECK(machine.Threads(First(8)) == 1);
    machine.Write("sys/devices/system/cpu/online", "0-3");
    CHECK(machine.Threads(First(8)) == 4);
    machine.Write("sys/devices/system/cpu/online", "what is this");
    CHECK(machine.Threads(First(8)) == 4);
    CHECK(machine.Threads({}) == 1);
  }

  TEST_CASE("a control group's share of time bounds the threads") {
    const Machine machine;
    const auto threads = [&] { return machine.Threads(First(8)); };
    machine.Write("sys/fs/cgroup/cpu.max", "300000 100000");
    CHECK(threads() == 3);
    machine.Write("proc/self/cgroup", "0::/");
    CHECK(threads() == 3);
    machine.Write("sys/fs/cgroup/cpu.max", "max 100000");
    CHECK(threads() == 8);
    CHECK(machine.Read(First(8)).quota_cpus == 0);
    machine.Write("sys/fs/cgroup/cpu.max", "160000 100000");  // to the nearest
    CHECK(threads() == 2);
    machine.Write("sys/fs/cgroup/cpu.max", "140000 100000");
    CHECK(threads() == 1);
    machine.Write("sys/fs/cgroup/cpu.max", "1000 100000");
    CHECK(threads() == 1);
    // The tightest of a group and those around it.
    machine.Write("sys/fs/cgroup/cpu.max", "max 100000");
    machine.Write("proc/self/cgroup", "0::/a/b");
    machine.Write("sys/fs/cgroup/a/cpu.max", "200000 100000");
    machine.Write("sys/fs/cgroup/a/b/cpu.max", "500000 100000");
    CHECK(threads() == 2);
    for (const char* nonsense : {"", "x y", "100", "5 0", "-1 -1"}) {
      machine.Write("sys/fs/cgroup/a/cpu.max", nonsense);
      machine.Write("sys/fs/cgroup/a/b/cpu.max", "500000 100000");
      CHECK(machine.Read(First(8)).quota_cpus >= 1);
      CHECK(machine.Read(First(8)).quota_cpus <= 5);
    }
  }

  TEST_CASE("so do those of the first version") {
    const Machine machine;
    machine.Write("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/jobs/1\n0::/");
    machine.Write("sys/fs/cgroup/cpu,cpuacct/jobs/1/cpu.cfs_quota_us", "400000");
    machine.Write("sys/fs/cgroup/cpu,cpuacct/jobs/1/cpu.cfs_period_us", "100000");
    CHECK(machine.Threads(First(8)) == 4);
    machine.Write("sys/fs/cgroup/cpu,cpuacct/jobs/1/cpu.cfs_quota_us", "-1");
    CHECK(machine.Threads(First(8)) == 8);
    machine.Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000");  // as a container sees its own
    machine.Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
    CHECK(machine.Threads(First(8)) == 2);
  }

  TEST_CASE("lists of CPUs are read and written as Linux does") {
    for (const char* text : {"0", "4-7", "0-3,6", "0,2,4-5,1023"}) {
      const Result<CpuSet> cpus = ParseCpuList(text);
      REQUIRE_MESSAGE(cpus.ok(), text);
      CHECK(CpuListText(*cpus) == text);
    }
    CHECK(CpuListText(*ParseCpuList("3,1-2,2,0")) == "0-3");
    for (const char* text : {"", ",", "0,", "1-", "-1", "3-1", "a", "0x1", "0 1", "1024", "0-1024",
                             "99999999999999999999", "1,,2", "1-2-3"}) {
      const Result<CpuSet> cpus = ParseCpuList(text);
      REQUIRE_MESSAGE(!cpus.ok(), text);
      CHECK(cpus.status().code() == StatusCode::kInvalidArgument);
    }
  }

  TEST_CASE("this machine has cores that may be used, and none is counted twice") {
    const CpuSet usable = UsableCpus();
    REQUIRE(!usable.empty());
    const CpuTopology topology = ReadCpuTopology(usable);
    size_t count = 0;
    for (const CpuGroup& group : topology.groups) count += group.cpus.size();
    CHECK(count <= usable.size());
    CHECK(topology.default_threads >= 1);
    CHECK(topology.default_threads <= usable.size());
    CHECK(DefaultThreads() == topology.default_threads);
  }
}

/// Notes where the tasks ran, and where they were allowed to.
class Whereabouts final : public StagedWork {
 public:
  explicit Whereabouts(CpuSet expected) : expected_(std::move(expected)) {}
  uint32_t TaskCount(uint32_t) override { return 64; }
  void RunTask(uint32_t, uint32_t, unsigned) override {
    if (UsableCpus() != expected_) elsewhere.fetch_add(1);
    tasks.fetch_add(1);
  }
  bool FinishStage(uint32_t) override { return true; }

  std::atomic<unsigned> tasks{0};
  std::atomic<unsigned> elsewhere{0};

 private:
  const CpuSet expected_;
};

TEST_SUITE("runtime/affinity") {
  TEST_CASE("a team and its caller work on the CPUs given, and the caller goes back") {
    const CpuSet before = UsableCpus();
    const CpuSet last = {before.back()};
    for (const unsigned size : {1u, 3u}) {
      auto team = WorkerTeam::Create(size, last);
      REQUIRE_MESSAGE(team.ok(), team.status().message());
      CHECK(UsableCpus() == before);
      Whereabouts work(last);
      (*team)->Run(work, 3);
      CHECK(work.tasks.load() == 192);
      CHECK(work.elsewhere.load() == 0);
      CHECK(UsableCpus() == before);
    }
  }

  TEST_CASE("CPUs that do not exist are refused by number, and nothing is moved") {
    const CpuSet before = UsableCpus();
    const auto team = WorkerTeam::Create(2, {before[0], 1000});
    REQUIRE(!team.ok());
    CHECK(team.status().code() == StatusCode::kInvalidArgument);
    CHECK(team.status().message().find("CPU 1000 does not exist") != std::string::npos);
    CHECK(UsableCpus() == before);
  }

  TEST_CASE("a team is asleep soon after its work, however short that was") {
    const auto team = WorkerTeam::Create(4);
    REQUIRE(team.ok());
    for (int round = 0; round < 20; ++round) {
      Whereabouts work(UsableCpus());
      (*team)->Run(work, 1);
      while ((*team)->sleepers() < 3) sched_yield();  // a team that spins on never gets there
      CHECK(work.tasks.load() == 64);
    }
  }
}

}  // namespace
}  // namespace graft::runtime
