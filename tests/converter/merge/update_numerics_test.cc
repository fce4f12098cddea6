// SPDX-License-Identifier: Apache-2.0
// Elementary functions, decompositions and activations that updates are made of.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <doctest/doctest.h>

#include "converter/merge/kinds/saved/activations.h"
#include "converter/merge/updates/elementary.h"
#include "converter/merge/updates/elimination.h"
#include "converter/merge/updates/orthonormal.h"
#include "converter/merge/updates/symmetric_eigen.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

bool Near(double value, double wanted, double tolerance = 4e-16) {
  return std::fabs(value - wanted) <= tolerance * std::max(1.0, std::fabs(wanted));
}

TEST_SUITE("converter/update_numerics") {
  TEST_CASE("elementary functions are those of the C library, up to the last places") {
    for (double x = -30; x < 30; x += 0.0371) {
      INFO(x);
      CHECK(Near(SinCos(x).sine, std::sin(x)));
      CHECK(Near(SinCos(x).cosine, std::cos(x)));
      CHECK(Near(Exp(x), std::exp(x), 1e-15));
      CHECK(Near(Tanh(x), std::tanh(x)));
      CHECK(Near(Erf(x), std::erf(x), 1e-15));
      CHECK(Near(Log(std::exp(x)), std::log(std::exp(x))));
    }
    CHECK(Near(SinCos(1e8).sine, std::sin(1e8), 1e-14));
    CHECK(Exp(710) == HUGE_VAL);
    CHECK(Exp(-750) == 0);
    CHECK(Near(Exp(-700) * 1e300, std::exp(-700.0) * 1e300, 1e-14));
    CHECK(Erf(7) == 1);
    CHECK(Erf(-7) == -1);
    CHECK(Tanh(-1000) == -1);
  }

  TEST_CASE("parts of a turn are exact where they can be") {
    CHECK(SinCosOfTurn(0, 7).cosine == 1);
    CHECK(SinCosOfTurn(3, 12).sine == 1);
    CHECK(SinCosOfTurn(3, 12).cosine == 0);
    CHECK(SinCosOfTurn(6, 12).cosine == -1);
    CHECK(SinCosOfTurn(9, 12).sine == -1);
    for (uint64_t i = 0; i < 90; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / 90;
      CHECK(Near(SinCosOfTurn(i, 90).sine, std::sin(angle), 1e-15));
      CHECK(Near(SinCosOfTurn(i, 90).cosine, std::cos(angle), 1e-15));
    }
  }

  TEST_CASE("eigenvectors make a diagonal of a symmetric matrix") {
    for (const size_t n : {1, 2, 3, 7, 20}) {
      INFO(n);
      std::vector<double> a =
          RandomTensor({static_cast<int64_t>(n), static_cast<int64_t>(n)}, 3).values;
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < i; ++j) a[i * n + j] = a[j * n + i];
      }
      const auto pairs = EigenDecompose(a, n);
      REQUIRE(pairs.ok());
      for (size_t k = 0; k < n; ++k) {
        const double* v = pairs->vectors.data() + k * n;
        if (k > 0) CHECK(pairs->values[k - 1] >= pairs->values[k]);
        for (size_t i = 0; i < n; ++i) {
          double image = 0;
          double product = 0;
          for (size_t j = 0; j < n; ++j) {
            image += a[i * n + j] * v[j];
            product += pairs->vectors[i * n + j] * v[j];
          }
          CHECK(std::fabs(image - pairs->values[k] * v[i]) < 1e-13);
          CHECK(std::fabs(product - (i == k ? 1 : 0)) < 1e-13);
        }
      }
    }
  }

  TEST_CASE("the columns of Q span P's, at right angles, with LAPACK's signs") {
    // Q of numpy.linalg.qr([[3, 1], [4, 2], [0, 5]]).
    std::vector<double> q = {3, 1, 4, 2, 0, 5};
    MakeOrthonormal(3, q);
    const double wanted[] = {-0.6, 0.06379618, -0.8, -0.04784713, 0, -0.99681528};
    for (size_t i = 0; i < q.size(); ++i) CHECK(std::fabs(q[i] - wanted[i]) < 1e-6);
    // A column that needs no reflection is left as it is.
    std::vector<double> plain = {2, 0, 0, 3, 0, 0};
    MakeOrthonormal(3, plain);
    CHECK(plain == std::vector<double>{1, 0, 0, 1, 0, 0});
  }

  TEST_CASE("elimination finds the inverse, and says where there is none") {
    std::vector<double> a = {0, 2, 1, 1};
    std::vector<double> inverse = {1, 0, 0, 1};
    REQUIRE(Eliminate(&a, &inverse, 2));
    CHECK(inverse == std::vector<double>{-0.5, 1, 0.5, 0});
    std::vector<double> flat = {1, 2, 2, 4};
    CHECK_FALSE(Eliminate(&flat, &inverse, 2));
  }

  TEST_CASE("activations have the values of transformers 5.24, in float64") {
    struct Case {
      const char* name;
      double at_minus_2, at_half, at_3;
    };
    const Case cases[] = {
        {"gelu", -0.045500263896358417, 0.34573123063700656, 2.9959503059051098},
        {"gelu_10", -0.045500263896358417, 0.34573123063700656, 2.9959503059051098},
        {"gelu_accurate", -0.045402305912224938, 0.34571400982514394, 2.9963626079182268},
        {"gelu_fast", -0.045402305912824459, 0.34571400982483486, 2.9963626079181394},
        {"gelu_new", -0.045402305912224938, 0.34571400982514394, 2.9963626079182268},
        {"gelu_python", -0.045500263896358417, 0.34573123063700656, 2.9959503059051098},
        {"gelu_python_tanh", -0.045402305912224938, 0.34571400982514394, 2.9963626079182268},
        {"gelu_pytorch_tanh", -0.045402305912224938, 0.34571400982514394, 2.9963626079182268},
        {"hardswish", -0.33333333333333331, 0.29166666666666669, 3},
        {"laplace", 0, 0.23142114841057387, 0.99999999999999978},
        {"leaky_relu", -0.02, 0.5, 3},
        {"linear", -2, 0.5, 3},
        {"mish", -0.25250148269570888, 0.37524521130489508, 2.9865350049679575},
        {"prelu", -0.5, 0.5, 3},
        {"quick_gelu", -0.06434137685579186, 0.35038843660638014, 2.981928690292214},
        {"relu", 0, 0.5, 3},
        {"relu2", 0, 0.25, 9},
        {"relu6", 0, 0.5, 3},
        {"sigmoid", 0.11920292202211755, 0.62245933120185459, 0.95257412682243336},
        {"silu", -0.23840584404423509, 0.3112296656009273, 2.8577223804672998},
        {"sqrtsoftplus", 0.3562695763645452, 0.98695338500868757, 1.7460204327480655},
        {"swish", -0.23840584404423509, 0.3112296656009273, 2.8577223804672998},
        {"tanh", -0.9640275800758169, 0.46211715726000974, 0.99505475368673046},
        {"xielu", -0.090844792720681133, 0.4501953125, 8.70703125},
    };
    for (const Case& one : cases) {
      INFO(one.name);
      const Activation activation = FindActivation(one.name);
      REQUIRE((activation != nullptr));
      CHECK(Near(activation(-2), one.at_minus_2, 1e-12));
      CHECK(Near(activation(0.5), one.at_half, 1e-12));
      CHECK(Near(activation(3), one.at_3, 1e-12));
    }
    CHECK((FindActivation("softsign") == nullptr));
  }
}

}  // namespace
}  // namespace graft::converter
