"""Scale ResNet-50 to any size: look at it, count it, build it.

Command: python examples/scale_resnet.py
Time: about 10 seconds on 2 cores, most of it importing Keras.
Result: the stage table of ResNet-50 at phi = 1, costs from phi = -2 to 3, and a built model with as many parameters as
were counted.
"""

from keras_effnet import Coefficients, Rounding, build_model, estimate_cost, explain, scale_model, scale_spec
from keras_effnet.applications import resnet50_spec
from keras_effnet.scaling import Compound

# Nothing so far has imported Keras: explaining and counting take milliseconds.
print(explain(resnet50_spec, phi=1), "\n")

print(" phi  resolution       params            MACs")
for phi in (-2, -1, -0.5, 0, 0.5, 1, 2, 3):
    spec = scale_spec(resnet50_spec, phi=phi)
    cost = estimate_cost(spec)
    print(f"{phi:4g}  {spec.resolution:7d} px  {cost.params:>11,}  {cost.macs:>14,}")

# Other constants, another rounding, or coefficients instead of a rule.
deeper = scale_spec(resnet50_spec, phi=1, rule=Compound(alpha=1.4, beta=1.05, gamma=1.1))
closer = scale_spec(resnet50_spec, phi=1, rounding=Rounding(depth="round", divisor=16))
wider = scale_spec(resnet50_spec, coefficients=Coefficients(width=2))
for name, spec in {"deeper": deeper, "closer": closer, "wider": wider}.items():
    print(
        f"{name}: {estimate_cost(spec).params:,} parameters, stages of {[stage.depth for stage in spec.stages]} blocks"
    )

# A plain keras.Model in one line, ready for fit.
model = scale_model(resnet50_spec, phi=-2, classes=10)
counted = estimate_cost(scale_spec(resnet50_spec, phi=-2), classes=10).params
print(f"\n{model.name}: {model.count_params():,} parameters built, {counted:,} counted")

# Features for your own head, from images of any size and number of channels.
features = build_model(scale_spec(resnet50_spec, phi=-2), include_top=False, pooling="avg", input_shape=(None, None, 1))
print(f"features of gray images: {features.input_shape} -> {features.output_shape}")
