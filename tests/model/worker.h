// Worker: one process of the model test, which does the steps that are its own and says what came
// of them.
#pragma once

#include <array>
#include <string>

#include "tests/model/steps.h"

namespace model {

class Worker {
 public:
  // `directory`: absolute; also the working directory.
  Worker(std::string directory, Features features)
      : directory_(std::move(directory)), features_(features) {
    slots_.fill(-1);
  }

  // Opens what the processes forked from this one share; before the first step.
  void open_inherited();
  // Does it, and the steps of a child with it if it is a fork. Text: a line for each, which may
  // contain observations (observation.h).
  std::string run(const Step& step, Generator& generator);
  void close_all();
  // Everything below the directory, a line each.
  std::string tree();

 private:
  std::string act(const Step& step);
  std::string fork(const Step& step, Generator& generator);
  int descriptor(int slot) const {  // closed ones are a number nobody has
    return slots_[static_cast<std::size_t>(slot)];
  }
  int base(int slot) const;
  std::string absolute(const std::string& path) const;
  // What lstat shows, of the path and perhaps of the directory it is in.
  std::string look(int slot, const std::string& path, bool parent_too) const;
  std::string look_fd(int slot) const;
  // An open directory that was removed, where that is not to be looked at.
  bool is_lost(int slot) const;
  std::string list(int descriptor) const;  // takes it
  std::string put(int slot, int opened);
  std::string read_all(int descriptor) const;
  void walk(const std::string& path, std::string& text) const;

  std::string directory_;
  Features features_;
  std::array<int, slots> slots_;
};

}  // namespace model
