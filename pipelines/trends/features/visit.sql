-- One row per visit of a person.
SELECT user_id,
       window_start                                AS began,
       count(*)                                    AS events,
       count(*) FILTER (WHERE kind = 'buy')        AS buys,
       max(price)                                  AS dearest
FROM clicks
GROUP BY user_id, session(ts, '30 minutes')
