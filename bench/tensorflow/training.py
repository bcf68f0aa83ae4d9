"""TensorFlow's side of bench/training.rs: training.py FOLDER THREADS, requests on standard input.

    start CASE            the fastest of the case's forms, with the rates of all of them
    first                 of the case started last: the losses of steps on the first batch, or the mean of its scores
    measure CASE SECONDS  examples per second, and per second of processor time

FOLDER has a folder per model with its weights and batches as float32. All forms of a case compute the same.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

FOLDER, THREADS = sys.argv[1], int(sys.argv[2])
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-10
FIELDS, BUCKETS, DIM, VOCABULARY, STEPS, HIDDEN = 26, 3846, 16, 10000, 100, 128


def read(model, name, *shape):
    return np.fromfile(os.path.join(FOLDER, model, name), np.float32).reshape(shape)


def loss_of(labels, logits):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


class Rate:
    """Examples per second since it was made, and per second of processor time of all threads."""

    def __init__(self):
        self.start, self.used = time.perf_counter(), time.process_time()

    def elapsed(self):
        return time.perf_counter() - self.start

    def of(self, examples):
        return examples / self.elapsed(), examples / (time.process_time() - self.used)


class Step:
    """A step on batches that are there as tensors, taken in turn."""

    def __init__(self, step, batches, rows):
        self.step, self.batches, self.rows, self.next = step, batches, rows, 0

    def once(self):
        x, y = self.batches[self.next % len(self.batches)]
        self.next += 1
        return self.step(x, y)

    def first(self, times):
        losses = []
        for _ in range(times):
            self.next = 0
            losses.append(float(self.once()))
        return losses

    def measure(self, seconds):
        rate, count, loss = Rate(), 0, None
        while rate.elapsed() < seconds:
            loss = self.once()
            count += 1
        float(loss)
        return rate.of(count * self.rows)


def compiled(model, variables, optimizer, batches, rows, jit):
    """The usual compiled step: a tape and an optimiser of Keras."""
    optimizer.build(variables)

    @tf.function(jit_compile=jit)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x))
        # Keras squares the gradients of a row that is looked up twice one by one; as a tensor they are summed first.
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        optimizer.apply_gradients(zip(gradients, variables))
        return loss

    return Step(step, batches, rows)


def adam():
    return tf.keras.optimizers.Adam(RATE, BETA1, BETA2, EPSILON)


def mlp(jit):
    widths = [256, 256, 128, 1]
    layers = [
        (tf.Variable(read("mlp", f"weight{n}", a, b)), tf.Variable(read("mlp", f"bias{n}", b)))
        for n, (a, b) in enumerate(zip(widths, widths[1:]))
    ]

    def model(x):
        for number, (weight, bias) in enumerate(layers):
            x = tf.nn.bias_add(tf.matmul(x, weight), bias)
            x = tf.nn.relu(x) if number < 2 else x
        return x

    batches = [(tf.constant(read("mlp", "x", -1, 256)), tf.constant(read("mlp", "y", -1, 1)))]
    return compiled(model, [value for layer in layers for value in layer], adam(), batches, 512, jit)


def deepfm_parts():
    rows = BUCKETS * FIELDS
    widths = [FIELDS * DIM, 256, 128, 1]
    names = ["dense_0", "dense_1", "deep"]
    tables = [
        tf.Variable(read("deepfm", "embedding.weight", rows, DIM)),
        tf.Variable(read("deepfm", "linear.weight", rows, 1)),
    ]
    layers = [
        (tf.Variable(read("deepfm", f"{name}.weight", a, b)), tf.Variable(read("deepfm", f"{name}.bias", b)))
        for name, a, b in zip(names, widths, widths[1:])
    ]
    ids = read("deepfm", "x", -1, FIELDS).astype(np.int64) + np.arange(FIELDS) * BUCKETS
    labels = read("deepfm", "y", -1, 1)
    batches = [
        (tf.constant(ids[at : at + 256]), tf.constant(labels[at : at + 256])) for at in range(0, len(labels), 256)
    ]

    def logit(vectors, linear):
        pairs = tf.reduce_sum(tf.square(tf.reduce_sum(vectors, 1)) - tf.reduce_sum(tf.square(vectors), 1), 1, True)
        x = tf.reshape(vectors, (-1, FIELDS * DIM))
        for number, (weight, bias) in enumerate(layers):
            x = tf.nn.bias_add(tf.matmul(x, weight), bias)
            x = tf.nn.relu(x) if number < 2 else x
        return tf.reduce_sum(linear, 1) + 0.5 * pairs + x

    return tables, [value for layer in layers for value in layer], batches, logit


def deepfm(jit):
    """Adam of Keras, which moves every row of a table."""
    tables, weights, batches, logit = deepfm_parts()
    model = lambda ids: logit(tf.gather(tables[0], ids), tf.gather(tables[1], ids))  # noqa: E731
    return compiled(model, tables + weights, adam(), batches, 256, jit)


def deepfm_rows():
    """Adam that moves only the rows looked up, which TensorFlow has no optimiser for any more."""
    tables, weights, batches, logit = deepfm_parts()
    optimizer = adam()
    optimizer.build(weights)
    moments = [(tf.Variable(tf.zeros_like(table)), tf.Variable(tf.zeros_like(table))) for table in tables]

    @tf.function
    def step(ids, y):
        with tf.GradientTape() as tape:
            vectors, linear = tf.gather(tables[0], ids), tf.gather(tables[1], ids)
            tape.watch([vectors, linear])
            loss = loss_of(y, logit(vectors, linear))
        gradients = tape.gradient(loss, [vectors, linear] + weights)
        rows, places = tf.unique(tf.reshape(ids, (-1,)), out_idx=tf.int64)
        time = tf.cast(optimizer.iterations + 1, tf.float32)
        rate = RATE * tf.sqrt(1 - BETA2**time) / (1 - BETA1**time)
        for table, (first, second), gradient in zip(tables, moments, gradients):
            gradient = tf.reshape(gradient, (-1, table.shape[1]))
            gradient = tf.math.unsorted_segment_sum(gradient, places, tf.size(rows))
            m = BETA1 * tf.gather(first, rows) + (1 - BETA1) * gradient
            v = BETA2 * tf.gather(second, rows) + (1 - BETA2) * tf.square(gradient)
            first.scatter_update(tf.IndexedSlices(m, rows))
            second.scatter_update(tf.IndexedSlices(v, rows))
            table.scatter_sub(tf.IndexedSlices(rate * m / (tf.sqrt(v) + EPSILON), rows))
        optimizer.apply_gradients(zip(gradients[2:], weights))
        return loss

    return Step(step, batches, 256)


def lstm_model(unroll=False):
    keras = tf.keras
    entry = keras.Input((STEPS,))
    embedding = keras.layers.Embedding(VOCABULARY, 32)
    recurrent = keras.layers.LSTM(HIDDEN, unroll=unroll)
    dense = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(entry, dense(recurrent(embedding(entry))))

    # ONNX keeps gates as input, output, forget, cell; Keras as input, forget, cell, output, and one bias of two.
    def gates(matrix):
        i, o, f, c = np.split(matrix, 4)
        return np.concatenate([i, f, c, o]).T

    w = read("lstm", "lstm.W", 4 * HIDDEN, 32)
    r = read("lstm", "lstm.R", 4 * HIDDEN, HIDDEN)
    b = read("lstm", "lstm.B", 2, 4 * HIDDEN).sum(0)
    embedding.set_weights([read("lstm", "embedding.weight", VOCABULARY, 32)])
    recurrent.set_weights([gates(w), gates(r), gates(b)])
    dense.set_weights([read("lstm", "logit.weight", HIDDEN, 1), read("lstm", "logit.bias", 1)])
    return model


def lstm_data():
    return read("lstm", "x", -1, STEPS).astype(np.int64), read("lstm", "y", -1, 1)


class Fit:
    """`fit` or `predict` over all batches, as often as the seconds allow."""

    def __init__(self, predicts):
        self.model, self.predicts = lstm_model(), predicts
        self.x, self.y = lstm_data()
        self.model.compile(adam(), "binary_crossentropy")

    def first(self, _):
        x, y = self.x[:32], self.y[:32]
        if self.predicts:
            return [float(self.model.predict(x, verbose=0).mean())]
        return [float(self.model.evaluate(x, y, verbose=0))]

    def measure(self, seconds):
        rate, count = Rate(), 0
        while rate.elapsed() < seconds:
            if self.predicts:
                self.model.predict(self.x, batch_size=32, verbose=0)
            else:
                self.model.fit(self.x, self.y, batch_size=32, epochs=1, verbose=0)
            count += len(self.x)
        return rate.of(count)


def lstm(jit, unroll=False):
    model = lstm_model(unroll)
    x, y = lstm_data()
    batches = [(tf.constant(x[at : at + 32]), tf.constant(y[at : at + 32])) for at in range(0, len(x), 32)]
    optimizer, variables = adam(), model.trainable_variables
    optimizer.build(variables)
    loss_function = tf.keras.losses.BinaryCrossentropy()

    @tf.function(jit_compile=jit)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_function(y, model(x, training=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    return Step(step, batches, 32)


# Of each case its forms, and how many losses are compared. The LSTM of ONNX has two biases that both learn, that of Keras
# has one: only the first loss is the same.
CASES = {
    "mlp": ({"tf.function": lambda: mlp(False), "tf.function with XLA": lambda: mlp(True)}, 3),
    "deepfm": ({"tf.function": lambda: deepfm(False), "tf.function with XLA": lambda: deepfm(True)}, 3),
    "deepfm.rows": ({"tf.function": deepfm_rows}, 3),
    "lstm": (
        {
            "tf.function": lambda: lstm(False),
            "tf.function with XLA": lambda: lstm(True),
            "tf.function, unrolled": lambda: lstm(False, True),
        },
        1,
    ),
    "lstm.fit": ({"Keras fit": lambda: Fit(False)}, 1),
    "lstm.predict": ({"Keras predict": lambda: Fit(True)}, 1),
}


def start(case):
    forms, losses = CASES[case]
    tried = []
    for name, make in forms.items():
        form = make()
        first = form.first(losses)
        # With one thread by processor time, so that others on the machine don't choose.
        by = 1 if THREADS == 1 else 0
        tried.append((max(form.measure(0.3)[by] for _ in range(4)), name, form, first))
    tried.sort(key=lambda one: -one[0])
    rates = ", ".join(f"{name} {rate:.0f}/s" for rate, name, _, _ in tried)
    return tried[0][2], tried[0][3], rates


def main():
    running, first = {}, []
    for line in sys.stdin:
        request, *arguments = line.split()
        if request == "start":
            running[arguments[0]], first, reply = start(arguments[0])
        elif request == "first":
            reply = " ".join(map(str, first))
        else:
            reply = " ".join(map(str, running[arguments[0]].measure(float(arguments[1]))))
        print(reply, flush=True)


main()
