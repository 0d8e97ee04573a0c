// Transforms of Winograd's minimal filtering; winograd.py puts the matrices of each size of tile into this file.
#include <torch/extension.h>
#include <ATen/Parallel.h>
#include <mutex>
#define UNROLL _Pragma("GCC unroll 8")
constexpr int64_t PLANES = 1 << 19;  // numbers a thread has at hand: its share of the cache
typedef float V __attribute__((vector_size(32), aligned(4)));
template <int M> struct F;
MATRICES

// y = L x L', with L of R rows and S columns known when this is compiled
template <class L, int R, int S> inline __attribute__((always_inline)) void sandwich(const V (&x)[S][S], V (&y)[R][R]) {
  V half[R][S];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int s = 0; s < S; s++) {
      V sum = {};
      UNROLL for (int k = 0; k < S; k++) if (L::at[r][k] != 0) sum += L::at[r][k] * x[k][s];
      half[r][s] = sum;
    }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int q = 0; q < R; q++) {
      V sum = {};
      UNROLL for (int k = 0; k < S; k++) if (L::at[q][k] != 0) sum += L::at[q][k] * half[r][k];
      y[r][q] = sum;
    }
}

// How far apart in memory tiles are below and beside each other, and the rows and columns of a patch.
struct Steps { int64_t down, across, row, column; };

// each tile's patch of S x S at `from`, transformed, as a patch of R x R at `to`, or added to what is there
template <class L, int R, int S, bool ADD>
void transform(const float* from, Steps a, float* to, Steps b, int64_t down, int64_t across, int64_t c) {
  for (int64_t i = 0; i < down; i++)
    for (int64_t j = 0; j < across; j++)
      for (int64_t k = 0; k < c; k += 8) {
        V x[S][S], y[R][R];
        UNROLL for (int u = 0; u < S; u++)
          UNROLL for (int v = 0; v < S; v++)
            x[u][v] = *(const V*)(from + i * a.down + j * a.across + u * a.row + v * a.column + k);
        sandwich<L, R, S>(x, y);
        UNROLL for (int u = 0; u < R; u++)
          UNROLL for (int v = 0; v < R; v++) {
            V* place = (V*)(to + i * b.down + j * b.across + u * b.row + v * b.column + k);
            *place = ADD ? *place + y[u][v] : y[u][v];
          }
      }
}

// One thread's share of the work: a few images at a time, so that their planes stay in the cache.
template <int M> struct Work {
  static constexpr int T = M + 2;
  int64_t h, w, down, across, wide, tiles, some;
  Work(int64_t h, int64_t w, int64_t c) : h(h), w(w), down((h + M - 1) / M), across((w + M - 1) / M),
    wide(across * M + 2), tiles(down * across), some(std::max<int64_t>(1, PLANES / (T * T * tiles * c))) {}
  torch::Tensor padded(int64_t c) { return torch::zeros({down * M + 2, wide, c}); }
  torch::Tensor planes(int64_t c) { return torch::empty({T * T * some * tiles * c}); }
  torch::Tensor part(torch::Tensor& planes, int64_t n, int64_t c) {
    return planes.narrow(0, 0, T * T * n * tiles * c).view({T * T, n * tiles, c});
  }
  Steps in_image(int64_t c) { return {M * wide * c, M * c, wide * c, c}; }
  Steps in_planes(int64_t n, int64_t c) { return {across * c, c, T * n * tiles * c, n * tiles * c}; }

  template <class L, int S> void in(const float* images, torch::Tensor& pad, torch::Tensor& planes, int64_t n, int64_t c) {
    float* image = pad.template data_ptr<float>();
    for (int64_t i = 0; i < n; i++) {
      for (int64_t row = 0; row < h; row++)
        memcpy(image + ((row + 1) * wide + 1) * c, images + (i * h + row) * w * c, w * c * 4);
      transform<L, T, S, false>(image + (S == M ? (wide + 1) * c : 0), in_image(c),
                                planes.template data_ptr<float>() + i * tiles * c, in_planes(n, c), down, across, c);
    }
  }
  template <class L, int R> void out(torch::Tensor& planes, torch::Tensor& pad, float* images, int64_t n, int64_t c) {
    float* image = pad.template data_ptr<float>();
    for (int64_t i = 0; i < n; i++) {
      pad.zero_();
      transform<L, R, T, true>(planes.template data_ptr<float>() + i * tiles * c, in_planes(n, c),
                               image + (R == M ? (wide + 1) * c : 0), in_image(c), down, across, c);
      for (int64_t row = 0; row < h; row++)
        memcpy(images + (i * h + row) * w * c, image + ((row + 1) * wide + 1) * c, w * c * 4);
    }
  }
};

template <int M> torch::Tensor forwards_of(const torch::Tensor& x, const torch::Tensor& kernels) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), k = kernels.size(1);
  auto y = torch::empty({n, h, w, k});
  const float* from = x.data_ptr<float>(); float* to = y.data_ptr<float>();
  at::parallel_for(0, n, 1, [&](int64_t first, int64_t last) {
    at::NoGradGuard none;
    Work<M> work(h, w, std::max(c, k));
    auto px = work.padded(c), py = work.padded(k), vx = work.planes(c), vy = work.planes(k);
    for (int64_t at = first; at < last; at += work.some) {
      const int64_t own = std::min(work.some, last - at);
      work.template in<typename F<M>::B, M + 2>(from + at * h * w * c, px, vx, own, c);
      auto result = work.part(vy, own, k);
      at::bmm_out(result, work.part(vx, own, c), kernels.mT());
      work.template out<typename F<M>::A, M>(vy, py, to + at * h * w * k, own, k);
    }
  });
  return y.permute({0, 3, 1, 2});
}

template <int M>
std::vector<torch::Tensor> backwards_of(const torch::Tensor& grad, const torch::Tensor& x, const torch::Tensor& kernels) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), k = kernels.size(1);
  auto back = torch::empty({n, h, w, c}), sum = torch::zeros_like(kernels);
  const float *from = x.data_ptr<float>(), *given = grad.data_ptr<float>(); float* to = back.data_ptr<float>();
  std::mutex lock;
  at::parallel_for(0, n, 1, [&](int64_t first, int64_t last) {
    at::NoGradGuard none;
    Work<M> work(h, w, std::max(c, k));
    auto px = work.padded(c), py = work.padded(k), vx = work.planes(c), vy = work.planes(k), pb = work.padded(c);
    auto own_sum = torch::zeros_like(kernels);
    for (int64_t at = first; at < last; at += work.some) {
      const int64_t own = std::min(work.some, last - at);
      auto a = work.part(vx, own, c), b = work.part(vy, own, k);
      work.template in<typename F<M>::AT, M>(given + at * h * w * k, py, vy, own, k);
      work.template in<typename F<M>::B, M + 2>(from + at * h * w * c, px, vx, own, c);
      own_sum.baddbmm_(b.mT(), a);
      at::bmm_out(a, b, kernels);
      work.template out<typename F<M>::BT, M + 2>(vx, pb, to + at * h * w * c, own, c);
    }
    std::lock_guard<std::mutex> guard(lock);
    sum.add_(own_sum);
  });
  return {back.permute({0, 3, 1, 2}), sum};
}

torch::Tensor forwards(torch::Tensor x, torch::Tensor kernels, int64_t m) {
  return m == 2 ? forwards_of<2>(x, kernels) : m == 3 ? forwards_of<3>(x, kernels) : forwards_of<4>(x, kernels);
}

std::vector<torch::Tensor> backwards(torch::Tensor grad, torch::Tensor x, torch::Tensor kernels, int64_t m) {
  return m == 2 ? backwards_of<2>(grad, x, kernels) : m == 3 ? backwards_of<3>(grad, x, kernels)
    : backwards_of<4>(grad, x, kernels);
}
