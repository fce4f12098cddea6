// SPDX-License-Identifier: Apache-2.0
// CMake wants a source file of a library that is made of other libraries.
