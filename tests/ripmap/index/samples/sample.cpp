#include <vector>
#include "shape.hpp"
namespace geo {
/// A shape in the plane.
class Circle : public Shape, private Base {
 public:
  Circle(double r);
  double area() const;
  Point *center();
 private:
  double r_;
};
double Circle::area() const { Helper h; h.log("computing the area now"); return compute(r_); }
template <typename T> T twice(T x) { return x + x; }
enum class Mode { Fast };
}
int main() { geo::Circle c(1); auto p = std::make_shared<geo::Circle>(2); return c.area() + run(c); }
